"""Nothing that is read runs: no module loads a pickle, evaluates text or asks a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

FOLDERS = ("persona_ray", "jobs", "benchmarks")
# Called by any of these names, whatever the module is imported as.
FORBIDDEN = {
    "pickle": {"load", "loads", "Unpickler"},
    "cloudpickle": {"load", "loads"},
    "dill": {"load", "loads"},
    "marshal": {"load", "loads"},
    "shelve": {"open"},
    "joblib": {"load"},
    "pandas": {"read_pickle"},
    "torch": {"load"},
    "numpy": {"load"},
    "yaml": {"load", "load_all", "full_load", "unsafe_load", "unsafe_load_all"},
    "os": {"system", "popen"},
    "tempfile": {"mktemp"},
    "builtins": {"eval", "exec", "compile"},
}
SHORT = {"np": "numpy", "pd": "pandas"}
# Keywords that make a call of any name unsafe.
KEYWORDS = {"shell": True, "allow_pickle": True, "trust_remote_code": True, "weights_only": False}
# Of mlflow and DeepSpeed, whose files hold pickles.
METHODS = {"load_model", "load_checkpoint", "load_state"}
# What may be loaded all the same, and why.
ALLOWED = {
    ("persona_ray/corpus/pipeline_ray.py", "pickle.loads"): "between actors of one Ray job, in its "
    "object store: who can write there runs code anyway",
    ("persona_ray/launch/units.py", "pickle.loads"): "the same",
    ("persona_ray/inference/screening/ge2e.py", "torch.load"): "weights_only, a package's file "
    "whose digest is checked first",
}


def names(tree: ast.AST) -> dict[str, str]:
    """What names of a module stand for: `torch`, `np`, `loads`, ..."""
    found = dict(SHORT)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.asname or one.name: one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
    return found


def unsafe(source: str) -> Iterator[str]:
    tree = ast.parse(source)
    known = names(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        first, _, rest = called.partition(".")
        full = ".".join(part for part in (known.get(first, first), rest) if part)
        module, _, name = (full if "." in full else f"builtins.{full}").rpartition(".")
        if name in FORBIDDEN.get(module, ()) or (module and name in METHODS):
            yield full
        for keyword in node.keywords:
            value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if keyword.arg in KEYWORDS and value is KEYWORDS[keyword.arg]:
                yield f"{full}({keyword.arg}={value})"


def test_no_module_loads_what_could_run() -> None:
    found = {
        (str(path.relative_to(REPOSITORY)), call)
        for folder in FOLDERS
        for path in sorted((REPOSITORY / folder).rglob("*.py"))
        for call in unsafe(path.read_text(encoding="utf-8"))
    }
    assert found == set(ALLOWED)


def test_what_is_allowed_of_torch_reads_weights_alone() -> None:
    source = Path(REPOSITORY / "persona_ray/inference/screening/ge2e.py").read_text("utf-8")
    assert source.count("torch.load(") == source.count("weights_only=True") == 1


@pytest.mark.parametrize(
    ("source", "call"),
    [
        ("import pickle as p\np.loads(b'')", "pickle.loads"),
        ("from pickle import loads as read\nread(b'')", "pickle.loads"),
        ("import torch\ntorch.load('a', weights_only=True)", "torch.load"),
        ("import numpy as np\nnp.load('a')", "numpy.load"),
        ("frame.read(path, allow_pickle=True)", "frame.read(allow_pickle=True)"),
        ("import yaml\nyaml.load(text, yaml.SafeLoader)", "yaml.load"),
        ("eval('1')", "builtins.eval"),
        ("import mlflow\nmlflow.pyfunc.load_model(uri)", "mlflow.pyfunc.load_model"),
        ("engine.load_checkpoint(folder)", "engine.load_checkpoint"),
        ("subprocess.run(line, shell=True)", "subprocess.run(shell=True)"),
    ],
)
def test_what_it_would_find(source: str, call: str) -> None:
    assert [one.removeprefix("builtins.") for one in unsafe(source)] == [
        call.removeprefix("builtins.")
    ]
