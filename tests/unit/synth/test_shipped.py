"""The archive in demo/archive is the one its configuration plans."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from persona_ray.config import load_section
from persona_ray.synth.config import SynthConfig
from persona_ray.synth.dialogue import ArchivePlan, plan_archive
from persona_ray.synth.truth import read_calls, read_customers, read_utterances

LARGEST_BYTES = 20_000_000


@pytest.fixture(scope="module")
def archive(repository: Path) -> Path:
    return repository / "demo" / "archive"


@pytest.fixture(scope="module")
def plan(repository: Path) -> ArchivePlan:
    return plan_archive(load_section(SynthConfig, repository / "configs" / "demo_archive.yaml"))


def test_truth_is_what_the_configuration_plans(archive: Path, plan: ArchivePlan) -> None:
    """A change to texts, leans or random draws wants a new archive, or a mended default."""
    planned = [
        (call.call_id, turn.text, turn.sentence.leaning if turn.sentence else None)
        for call in plan.calls
        for turn in call.turns
        if not (call.dirt == "silent_customer" and turn.speaker == "customer")
    ]
    kept = [(row.call_id, row.text, row.leaning) for row in read_utterances(archive)]
    assert kept == planned
    assert [call.dirt for call in read_calls(archive)] == [
        (call.dirt,) if call.dirt else () for call in plan.calls
    ]
    prosody = {c.customer_id: c.prosody["rate"] for c in read_customers(archive)}
    assert prosody == {c.customer_id: c.prosody.rate for c in plan.customers}


def test_recordings_are_those_of_the_database(archive: Path) -> None:
    with closing(sqlite3.connect(archive / "business.sqlite")) as connection:
        uris = dict(connection.execute("SELECT audio_uri, call_id FROM calls"))
    stored = {path.relative_to(archive).as_posix() for path in archive.glob("audio/*/*")}
    missing = {call.call_id for call in read_calls(archive) if "missing_file" in call.dirt}
    assert stored == {uri for uri, call_id in uris.items() if call_id not in missing}


def test_an_hour_of_customers_in_a_small_folder(archive: Path) -> None:
    sentences = [row for row in read_utterances(archive) if row.leaning is not None]
    assert 55 < sum(row.end_s - row.start_s for row in sentences) / 60 < 70
    size = sum(path.stat().st_size for path in archive.rglob("*") if path.is_file())
    assert size < LARGEST_BYTES
