"""The audit log by command, from a key that is made to a row that was edited."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import delete
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import load_config
from persona_ray.errors import AuditError, ConfigError, CorpusError
from persona_ray.serving.audited import note_reading
from persona_ray.serving.gate import Caller
from persona_ray.store import open_audited
from persona_ray.store.audit_tables import AuditRow


def command(workspace: Path, *arguments: str) -> str:
    overrides = ["--set", f"workspace={workspace}", "--set", "tracking.url=off"]
    answer = CliRunner().invoke(app, [*arguments, *overrides])
    if answer.exception is not None:
        raise answer.exception
    return answer.output


def test_what_is_done_stands_in_the_log_until_somebody_edits_it(tmp_path: Path) -> None:
    assert "empty" in command(tmp_path, "audit", "verify")
    command(tmp_path, "keys", "create", "desk", "--scope", "admin")
    command(tmp_path, "forget", "--yes", "--customer", "KD-7781")
    said = command(tmp_path, "audit", "verify")
    head = said.rpartition("head ")[2].strip()
    assert "entries 1 to 2" in said
    command(tmp_path, "audit", "export", str(tmp_path / "log.jsonl"))
    entries = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["action"] for entry in entries] == ["keys.create", "forget"]
    assert entries[0]["details"] == {"scopes": "admin"}
    assert entries[0]["actor"].startswith("user:")
    assert "KD-7781" not in (tmp_path / "log.jsonl").read_text()
    # Whoever knows the person finds the entry.
    assert entries[1]["about"] == command(tmp_path, "audit", "person", "KD-7781").strip()
    assert "forget" in command(tmp_path, "audit", "show", "--since", "2026-01-01")
    assert "whole" in command(tmp_path, "audit", "verify", "--head", head)
    database = sqlite3.connect(tmp_path / "store.sqlite")
    with database:
        database.execute("UPDATE audit_log SET actor = 'user:nobody' WHERE number = 1")
    with pytest.raises(AuditError, match="entry 1 was edited"):
        command(tmp_path, "audit", "verify")
    # SQLite keeps bytes in a column of text, and any text in one of JSON.
    with database:
        database.execute("UPDATE audit_log SET details = CAST('{' AS BLOB) WHERE number = 1")
    database.close()
    for asked in (("verify",), ("show",), ("export", str(tmp_path / "log.jsonl"))):
        with pytest.raises(AuditError, match="entry 1 was edited"):
            command(tmp_path, "audit", *asked)
    with pytest.raises(ConfigError, match="NUMBER:HASH"):
        command(tmp_path, "audit", "verify", "--head", "7")


def test_a_receipt_is_verified_and_is_of_one_person(tmp_path: Path) -> None:
    command(tmp_path, "forget", "--yes", "--customer", "KD-7781")
    (receipt,) = (tmp_path / "privacy" / "receipts").glob("*.json")
    assert "signed by this installation" in command(tmp_path, "forget", "--verify", str(receipt))
    mine = ("forget", "--verify", str(receipt), "--customer")
    assert "nothing was kept" in command(tmp_path, *mine, "KD-7781")
    with pytest.raises(AuditError, match="another person's"):
        command(tmp_path, *mine, "KD-7782")


def test_operators_who_read_calls_of_others_are_noted(tmp_path: Path) -> None:
    config = load_config(None, [f"workspace={tmp_path}"])
    with open_audited(config) as store:
        ann = Caller("k1", "ann", frozenset({"screening"}))
        note_reading(store, ann, "ann", 3)
        note_reading(store, Caller("k2", "desk", frozenset({"operator"})), "ann", 3)
        (entry,) = store.audit.entries()
        assert (entry.actor, entry.action) == ("key:k2", "screening.read")
    # Whoever knows the user finds the entry.
    assert entry.about == command(tmp_path, "audit", "person", "ann", "--kind", "user").strip()


@pytest.mark.parametrize("lost", ["keys", "keys/installation/persons.secret"])
def test_a_lost_secret_is_asked_for_and_no_other_is_made(tmp_path: Path, lost: str) -> None:
    command(tmp_path, "forget", "--yes", "--customer", "KD-7781")
    (receipt,) = (tmp_path / "privacy" / "receipts").glob("*.json")
    config = load_config(None, [f"workspace={tmp_path}"])
    with open_audited(config) as store:
        store.live_calls.open("desk", "c1", {}, "KD-7782")
    (tmp_path / lost).rename(tmp_path / "aside")

    def refused(*arguments: str) -> None:
        with pytest.raises((AuditError, CorpusError), match="put the folder of keys back"):
            command(tmp_path, *arguments)
        assert not (tmp_path / "keys" / "installation" / "persons.secret").exists()

    for person in (
        ("audit", "person", "KD-7781"),
        ("forget", "--yes", "--customer", "KD-7782"),
        ("assist", "forget", "--yes", "--customer", "KD-7782"),
    ):
        refused(*person)
    # Nothing went of whom nothing could be noted.
    with open_audited(config) as store:
        assert store.customers() == {"KD-7782"}
    refused("forget", "--again")
    # Either is enough: a receipt, an entry.
    receipt.rename(tmp_path / "receipt")
    refused("audit", "person", "KD-7781")
    (tmp_path / "receipt").rename(receipt)
    with open_audited(config) as store, store.write() as session:
        session.execute(delete(AuditRow))
    refused("audit", "person", "KD-7781")
