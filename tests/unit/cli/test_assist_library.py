"""`persona-ray assist library`: what a script owner does at a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import LibraryError
from persona_ray.inference.assist.library import load_library

FIRST = """\
name: shop
version: "1"
scripts:
  - {id: hello, text: 您好，我是您的客户经理。, answers: [你是谁]}
  - {id: fee, text: 首年年费是免的。, answers: [年费多少], product: credit_card}
"""
SECOND = FIRST.replace('"1"', '"2"').replace("首年", "前两年").replace("hello", "greeting")


class Owner:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def says(self, *words: str) -> str:
        workspace = f"workspace={self.folder}"
        done = CliRunner().invoke(app, ["assist", "library", *words, "--set", workspace])
        if done.exception is not None:
            raise done.exception
        return done.stdout

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, encoding="utf-8")
        return str(self.folder / name)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def test_a_library_is_imported_changed_and_gone_back_to(owner: Owner) -> None:
    first, second = owner.file("a.yaml", FIRST), owner.file("b.yaml", SECOND)
    assert "shop 1: 2 scripts of credit_card" in owner.says("check", first)
    assert "calls begin with shop 1" in owner.says("import", first)
    told = owner.says("import", second, "--preview")
    assert "  + greeting\n  ~ fee\n  - hello\n" in told
    assert "nothing was changed" in told
    assert "* shop 1" in owner.says("list")
    assert "1 added, 1 changed, 1 removed" in owner.says("import", second)
    assert "* shop 2" in owner.says("list")
    # The same again is no new version.
    assert "the same scripts" in owner.says("import", second)
    assert owner.says("list").count("shop") == 2
    owner.says("use", "shop", "1")
    assert "* shop 1" in owner.says("list")


def test_what_is_exported_is_what_calls_begin_with(owner: Owner, tmp_path: Path) -> None:
    owner.says("import", owner.file("a.yaml", FIRST))
    owner.says("import", owner.file("b.yaml", SECOND))
    for name, words in (("now.csv", ()), ("then.yaml", ("--version", "1"))):
        owner.says("export", "--out", str(tmp_path / name), *words)
    now = load_library(str(tmp_path / "now.csv"), ())
    then = load_library(str(tmp_path / "then.yaml"), ())
    assert set(now.scripts) == {"greeting", "fee"}
    assert then == load_library(str(tmp_path / "a.yaml"), ())


def test_mistakes_are_told(owner: Owner) -> None:
    owner.says("import", owner.file("a.yaml", FIRST))
    with pytest.raises(LibraryError, match="is in the store with other scripts"):
        owner.says("import", owner.file("b.yaml", SECOND.replace('"2"', '"1"')))
    with pytest.raises(LibraryError, match="no library 'shop 9', but shop 1"):
        owner.says("use", "shop", "9")
    with pytest.raises(LibraryError, match="written as"):
        owner.says("export", "--out", str(owner.folder / "a.txt"))
    with pytest.raises(LibraryError, match="has 1 mistake"):
        owner.says("check", owner.file("c.yaml", FIRST.replace("[你是谁]", "[]")))


def test_the_shipped_library_goes_before_nothing_else(owner: Owner) -> None:
    assert "which is a file" in owner.says("list")
    owner.says("import", owner.file("a.yaml", FIRST))
    assert "which is a file" not in owner.says("list")
