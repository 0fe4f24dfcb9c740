"""What the documents name exists: files, headings, commands, options, benchmarks, keys."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from persona_ray.cli.app import app
from persona_ray.config import describe
from tests.conftest import REPOSITORY

DOCUMENTS = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"))
)
_NO_KEY = re.compile(r"\.(py|md|yaml|yml|json|csv|html|parquet|sqlite|secret|head)$")


@pytest.fixture(scope="module")
def keys() -> set[str]:
    """Every configuration key, and every section."""
    found: set[str] = set()
    for key, _, _ in describe(items=True):
        words = key.replace("[]", "").split(".")
        found |= {".".join(words[:end]) for end in range(1, len(words) + 1)}
    return found


def read(name: str) -> str:
    """With lines joined that a backslash breaks."""
    return (REPOSITORY / name).read_text(encoding="utf-8").replace("\\\n", " ")


def headings(text: str) -> set[str]:
    """As the anchors that links to them name."""
    lines = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


def test_there_are_documents() -> None:
    assert {"README.md", "CONTRIBUTING.md", "docs/guide.md"} < set(DOCUMENTS)
    commands = [line for name in DOCUMENTS for line in re.findall(r"persona-ray \w+", read(name))]
    assert len(commands) > 100


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_to_files_and_headings(name: str) -> None:
    folder = (REPOSITORY / name).parent
    for link in re.findall(r"\]\((?!https://)([^)]+)\)", read(name)):
        path, _, anchor = link.partition("#")
        file = folder / path if path else REPOSITORY / name
        assert file.exists(), link
        assert not anchor or anchor in headings(file.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_exist_and_have_these_options(name: str) -> None:
    """In code each line that begins with `persona-ray`; in the text what stands in backticks."""
    root = get_command(app)
    # Every other piece between fences is code.
    pieces = read(name).split("```")
    lines = re.findall(r"(?:^|-- +|\$\()persona-ray (.+)$", "\n".join(pieces[1::2]), re.MULTILINE)
    lines += re.findall(r"`persona-ray ([^`]+)`", " ".join(pieces[::2]))
    for line in lines:
        words = re.split(r" [#|&]|[|)]", line)[0].split()
        command = root
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            assert words[0] in command.commands, line
            command = command.commands[words.pop(0)]
        known = {"--help", *(option for param in command.params for option in param.opts)}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= known, line
        for word in words:
            if word.startswith(("demo/", "configs/")):
                assert (REPOSITORY / word).exists(), line


@pytest.mark.parametrize("name", DOCUMENTS)
def test_benchmarks_exist(name: str) -> None:
    for module in re.findall(r"python -m (benchmarks[\w.]+\w)", read(name)):
        assert find_spec(module), module


@pytest.mark.parametrize("name", DOCUMENTS)
def test_keys_exist(name: str, keys: set[str]) -> None:
    """`section.key`, but for codes of errors, which look alike; and what `--set` is given."""
    from persona_ray.serving import failures

    codes = Path(failures.__file__).read_text(encoding="utf-8")
    text = read(name)
    sections = {key.split(".")[0] for key in keys if "." in key}
    for word in re.findall(r"`([a-z_]+(?:\.[a-z_0-9]+)+)(?:=[^`]*)?`", text):
        if word.split(".")[0] in sections and not _NO_KEY.search(word):
            assert word in keys or f'"{word}"' in codes, word
    for word in re.findall(r"--set ([a-z_]+[.][a-z_.]+)=", text):
        assert word in keys or word == "a.b", word
