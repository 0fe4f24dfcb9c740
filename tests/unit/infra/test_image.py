"""The image's recipe: what it copies is there, it installs the lock, and it knows no secret."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from persona_ray.serving.deploy.proxy import ENVIRONMENT
from tests.unit.infra.manifests import INFRA

Instruction = tuple[str, str]


@pytest.fixture(scope="module")
def recipe() -> list[Instruction]:
    """Each instruction and its arguments."""
    text = (INFRA / "Containerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = (line.strip() for line in text.splitlines())
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in lines if line]


def stages(recipe: list[Instruction]) -> dict[str, list[Instruction]]:
    found: dict[str, list[Instruction]] = {}
    name = ""
    for instruction, rest in recipe:
        if instruction == "FROM":
            name = rest.split(" AS ")[1]
        found.setdefault(name, []).append((instruction, rest))
    return found


def sources(recipe: list[Instruction]) -> list[str]:
    """What is copied from the checkout."""
    copies = [shlex.split(rest) for instruction, rest in recipe if instruction == "COPY"]
    return [word for copy in copies if not copy[0].startswith("--from") for word in copy[:-1]]


def environment(recipe: list[Instruction]) -> dict[str, str]:
    pairs = [shlex.split(rest) for instruction, rest in recipe if instruction == "ENV"]
    return dict(word.split("=", 1) for words in pairs for word in words)


def test_what_is_copied_is_there_and_not_ignored(
    recipe: list[Instruction], repository: Path
) -> None:
    copied = sources(recipe)
    ignore = (repository / ".containerignore").read_text(encoding="utf-8").splitlines()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    assert "*" in ignore
    assert set(copied) == kept
    for name in copied:
        assert (repository / name).exists(), name
    # Docker reads its own name.
    assert (repository / ".dockerignore").resolve() == repository / ".containerignore"


def test_the_lock_is_what_is_installed_and_hashes_are_asked_for(
    recipe: list[Instruction], repository: Path
) -> None:
    installed = [rest for instruction, rest in recipe if instruction == "RUN" and "pip" in rest]
    assert [command.split()[:3] for command in installed] == [
        ["pip", "install", "--no-cache-dir"],
        ["uv", "pip", "sync"],
        ["uv", "pip", "install"],
    ]
    assert installed[1].endswith("--require-hashes /build/requirements.lock")
    assert "--no-deps" in installed[2]
    (uv,) = [rest for instruction, rest in recipe if rest.startswith("UV_VERSION=")]
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    assert re.findall(r"^UV_VERSION := (\S+)", makefile, re.MULTILINE) == [uv.split("=")[1]]


def test_targets_are_those_of_the_guide(recipe: list[Instruction], repository: Path) -> None:
    guide = (repository / "docs/cluster.md").read_text(encoding="utf-8")
    named = set(re.findall(r"--target (\w+)", guide))
    assert named == {"cpu", "gpu"}
    assert named < set(stages(recipe))


def test_nobody_is_root_and_nothing_is_secret(recipe: list[Instruction]) -> None:
    for name in ("cpu", "gpu"):
        users = [rest for instruction, rest in stages(recipe)[name] if instruction == "USER"]
        assert users[-1] == "1000"
    arguments = {rest.split("=")[0] for instruction, rest in recipe if instruction == "ARG"}
    assert arguments == {"BASE", "UV_VERSION"}
    secret = re.compile("PASSWORD|SECRET|_TOKEN|_KEY")
    assert not [name for name in environment(recipe) if secret.search(name)]


def test_rays_processes_get_what_the_service_wants(recipe: list[Instruction]) -> None:
    found = environment(recipe)
    assert ENVIRONMENT.items() <= found.items()
    assert int(found["RAY_JOB_STOP_WAIT_TIME_S"]) > 3
