"""`persona-ray keys`: a key from making to its end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import ConfigError
from persona_ray.store import open_store


def test_a_key_is_made_listed_and_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    where = ["--set", f"workspace={tmp_path}"]

    def keys(*arguments: str) -> str:
        answer = CliRunner().invoke(app, ["keys", *arguments, *where], catch_exceptions=False)
        assert answer.exit_code == 0
        return answer.stdout

    token = keys("create", "desk", "--scope", "recognise", "--scope", "live", "--days", "90")
    # Nothing else is printed, so that a shell can keep it.
    assert re.fullmatch(r"pr_[0-9a-f]{12}_\S{43}\n", token)
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        key = store.keys.find(token.strip())
    assert key is not None
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days == 90
    listed = keys("list")
    assert token.strip() not in listed
    for part in (key.key_id, "desk", "live recognise", "valid"):
        assert part in listed
    monkeypatch.setenv("COLUMNS", "80")
    for part in (key.key_id, "recognise", "valid"):
        assert part in keys("list")
    assert keys("revoke", key.key_id) == f"key {key.key_id} is revoked\n"
    assert "revoked" in keys("list")
    with pytest.raises(ConfigError, match="no valid key"):
        keys("revoke", key.key_id)
    with pytest.raises(ConfigError, match=r"--scope: unknown scope 'listen': choose from"):
        keys("create", "desk", "--scope", "listen")


@pytest.mark.parametrize("name", ["", " "])
def test_a_key_of_nobody_is_refused(tmp_path: Path, name: str) -> None:
    """Labels, calls and settings stand under the name of a key."""
    arguments = ["keys", "create", name, "--scope", "annotate", "--set", f"workspace={tmp_path}"]
    with pytest.raises(ConfigError, match=r"whose key it is.*keys create desk"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    with open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store:
        assert store.keys.all() == []
