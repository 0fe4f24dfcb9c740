"""A workspace that cannot be written is told before there is anything to write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError
from persona_ray.launch.workspace import check_workspace


def test_looking_creates_nothing(tmp_path: Path) -> None:
    check_workspace(RunConfig(workspace=tmp_path / "not" / "there" / "yet"))
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_workspace_nor_in_the_way_of_one(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.touch()
    for workspace in (file, file / "run"):
        with pytest.raises(ConfigError, match=f"{file} is a file: name a folder"):
            check_workspace(RunConfig(workspace=workspace))


def test_the_folder_that_may_not_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Rights do not hold an administrator back, as whom tests may run.
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(ConfigError, match=f"{tmp_path} is read-only for this user"):
        check_workspace(RunConfig(workspace=tmp_path / "run"))
