"""What a run in MLflow is described by: parameters, machine, packages, revision."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import persona_ray

# MLflow takes 6000 characters.
_VALUE_CHARACTERS = 5000
# A checkout on a slow disk is not waited for.
_GIT_S = 5.0


def flatten(parameters: Mapping[str, BaseModel]) -> dict[str, str]:
    """`{"training": section}` -> `{"training.epochs": "15", ...}`"""

    def leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, below in value.items():
                yield from leaves(f"{name}.{key}", below)
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield name, text[:_VALUE_CHARACTERS]

    rows: dict[str, str] = {}
    for name, section in parameters.items():
        rows.update(leaves(name, section.model_dump(mode="json")))
    return rows


def environment() -> str:
    """JSON: the machine's kind, Python, and every installed package with its version."""
    packages = {
        str(found.metadata["Name"]): found.version
        for found in distributions()
        if found.metadata["Name"]
    }
    tree = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
    return json.dumps(tree, indent=1)


def source_tags() -> dict[str, str]:
    """Who runs which revision, and whether files differ from it; a checkout's revision only if
    the package belongs to it."""
    tags = {"mlflow.source.name": "persona-ray", "persona_ray.version": persona_ray.__version__}
    package = Path(persona_ray.__file__).resolve().parent
    try:
        tags["mlflow.user"] = getpass.getuser()
        said = _git(package, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if len(said) == 2 and Path(said[0]) == package.parent:
            changed = _git(package, "status", "--porcelain", "--untracked-files=no")
            tags["mlflow.source.git.commit"] = said[1]
            tags["mlflow.source.git.dirty"] = str(bool(changed.strip())).lower()
    except (OSError, KeyError, subprocess.SubprocessError):
        return tags
    return tags


def _git(folder: Path, *arguments: str) -> str:
    # Without locks: somebody may be committing.
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=_GIT_S,
        check=True,
    ).stdout
