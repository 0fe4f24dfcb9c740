"""`persona-ray vault`: what an operator sees of keys, and how he changes them."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import VaultError
from persona_ray.vault.keys import VARIABLE, KeyRing
from persona_ray.vault.seal import PLAIN, Vault
from tests.unit.store.screening.test_sealed import fill


def test_keys_of_a_workspace_from_the_first_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_ray.store import open_store

    monkeypatch.delenv(VARIABLE, raising=False)
    clock = SimpleNamespace(sleep=lambda _: None, monotonic=time.monotonic)
    monkeypatch.setattr("persona_ray.serving.sealed_places.time", clock)
    at = ["--set", f"workspace={tmp_path}"]
    with open_store(f"sqlite:///{tmp_path}/store.sqlite", vault=PLAIN) as store:
        fill(store)
    run = CliRunner()
    assert re.search(r"\(plain\).*21 voiceprints", run.invoke(app, ["vault", "status", *at]).output)
    assert not (tmp_path / "vault.keys").exists()
    assert "is sealed by key" in run.invoke(app, ["vault", "rotate", *at]).output
    (key,) = KeyRing(tmp_path / "vault.keys", makes=False).all()
    shown = run.invoke(app, ["vault", "status", *at]).output
    assert key.key_id in shown
    assert "plain" not in shown
    assert key.material.hex() not in shown
    refused = run.invoke(app, ["vault", "drop", key.key_id, *at])
    assert "seals now" in str(refused.exception)
    # A ring that is kept elsewhere, of which this workspace's key is lost.
    ring = tmp_path / "secret" / "ring"
    assert run.invoke(app, ["vault", "add", str(ring)]).exit_code == 0
    elsewhere = [*at, "--set", f"privacy.vault.keys={ring}"]
    told = run.invoke(app, ["vault", "status", *elsewhere])
    assert re.search(rf"{key.key_id}.*missing", told.output)
    assert isinstance(told.exception, VaultError)
    assert f"key {key.key_id} is not in the key ring {ring}" in str(told.exception)
    lost = run.invoke(app, ["vault", "rotate", *elsewhere])
    assert "21 of voiceprints stay as they are" in str(lost.exception)
    Vault(KeyRing(ring, makes=False)).seal(b"", "")


def test_a_ring_that_is_gone_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though nothing is kept that it sealed."""
    monkeypatch.delenv(VARIABLE, raising=False)
    at = ["vault", "status", "--set", f"workspace={tmp_path}"]
    assert CliRunner().invoke(app, at).exit_code == 0
    ring = KeyRing(tmp_path / "vault.keys", makes=True)
    ring.primary()
    ring.path.unlink()
    told = CliRunner().invoke(app, at)
    assert isinstance(told.exception, VaultError)
    assert f"{ring.path} is gone: put it back" in str(told.exception)
