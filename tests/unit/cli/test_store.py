"""The schema of the store, by command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import ConfigError, StoreError
from persona_ray.store import open_store
from persona_ray.store.migrating import Schema


def said(folder: Path, *arguments: str) -> str:
    answer = CliRunner().invoke(app, ["store", *arguments, "--set", f"workspace={folder}"])
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.output


def test_there_and_back(tmp_path: Path) -> None:
    head = Schema().head
    assert "no tables yet" in said(tmp_path, "status")
    assert not list(tmp_path.iterdir()), "who only asks makes no file"
    assert f"base -> {head}" in said(tmp_path, "upgrade")
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        store.keys.create("desk", ["recognise"], None, None)
    assert f"schema {head}" in said(tmp_path, "status")
    with pytest.raises(ConfigError, match="0002 does not know 1 rows of api_keys"):
        said(tmp_path, "downgrade", "0002")
    assert "schema 0002" in said(tmp_path, "downgrade", "0002", "--yes")
    assert f"this release works with {head}" in said(tmp_path, "status")
    assert f"0002 -> {head}" in said(tmp_path, "upgrade")


def test_only_older_schemas_are_gone_back_to(tmp_path: Path) -> None:
    said(tmp_path, "upgrade")
    said(tmp_path, "downgrade", "0003", "--yes")
    with pytest.raises(StoreError, match="is at schema 0003, before 0005"):
        said(tmp_path, "downgrade", "0005")
    with pytest.raises(StoreError, match="no revision '17'"):
        said(tmp_path, "downgrade", "17")
