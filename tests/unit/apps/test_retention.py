"""What was kept for its time goes, once a day, and is not brought back by the next run."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from persona_ray.apps.privacy.daily import once_a_day
from persona_ray.apps.privacy.retention import apply_retention
from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.errors import CorpusError
from persona_ray.launch.archive.job import recognize_archive
from persona_ray.progress import SilentProgress
from persona_ray.store import open_audited
from persona_ray.store.screening.records import NumberEntry
from tests.unit.apps.planted import CALLS, SAID, copied, found


@pytest.fixture
def config(planted: RunConfig, tmp_path: Path) -> RunConfig:
    """Its shards are of a year ago; clips and recognitions are kept for half of one."""
    config = copied(planted, tmp_path / "run")
    year_ago = time.time() - 365 * 86_400
    for path in config.workspace.rglob("*.parquet"):
        os.utime(path, (year_ago, year_ago))
    terms = {"clips_days": 180.0, "recognitions_days": 180.0, "audit_days": 30.0}
    retention = config.privacy.retention.model_copy(update=terms)
    return config.model_copy(
        update={"privacy": config.privacy.model_copy(update={"retention": retention})}
    )


def _over(config: RunConfig, dry_run: bool = False, days: int = 0) -> dict[str, int]:
    now = datetime.now(UTC) + timedelta(days=days)
    kept = apply_retention(config, "user:test", SilentProgress(), dry_run, now)
    return {one.what: one.over for one in kept if one.over}


def test_what_is_too_old_goes_with_what_was_made_of_it(config: RunConfig) -> None:
    needles: dict[str, bytes | str] = {"said": SAID, "call": f"audio/{CALLS[0]}"}
    old = {"clips and what was made of them": 4, "recognised calls in files": 4}
    assert _over(config, dry_run=True).items() >= old.items()
    assert len(CorpusDataset.open(config.corpus_dir)) == 4
    assert _over(config).items() >= old.items()
    files = {hit for hit in found(config.workspace, needles) if "store.sqlite" not in hit}
    assert files == set()
    assert len(CorpusDataset.open(config.corpus_dir)) == 0
    (colours,) = config.recognitions_dir.glob("*/customers.parquet")
    assert pq.read_table(colours).num_rows == 0
    with open_audited(config) as store:
        assert [entry.action for entry in store.audit.entries()] == ["retention"]
    # Once gone, gone: neither counted nor made again, though the archive has it all.
    assert _over(config) == {}
    assert build_corpus(config, SilentProgress()).new_calls == 0
    assert recognize_archive(config, SilentProgress()).run.new_calls == 0


def test_rows_and_old_entries_go_by_their_time(config: RunConfig) -> None:
    with open_audited(config) as store:
        for _ in range(3):
            store.audit.note("user:test", "test")
    rows = "recognised calls and customers in the store"
    assert _over(config, dry_run=True, days=181)[rows] == 6
    over = _over(config, days=181)
    assert (over[rows], over["entries of the audit log"]) == (6, 2)
    with open_audited(config) as store:
        assert store.audit.verify().first > 1
        *_, entry = store.audit.entries()
    # Files and rows go by one term.
    told = entry.told()["details"]["privacy.retention.recognitions_days"]
    assert told == over[rows] + over["recognised calls in files"]


def test_live_calls_and_entries_of_sets_go_by_their_time(config: RunConfig) -> None:
    now = datetime.now(UTC)
    with open_audited(config) as store:
        store.live_calls.open("desk", "nameless", {})
        entry = NumberEntry(
            owner="",
            number="+8613800138099",
            standing="illegal",
            category="",
            origin="reports",
            expires_at=now + timedelta(days=90),
        )
        store.numbers.put(entry, "test", now)
    assert "live calls" not in _over(config, dry_run=True)
    # The one of the workspace, too.
    assert _over(config, dry_run=True, days=1)["live calls"] == 2
    assert _over(config, days=1)["live calls"] == 2
    assert "live calls" not in _over(config, days=1)
    assert _over(config, dry_run=True, days=91)["numbers that reports made"] == 1
    assert _over(config, days=91)["numbers that reports made"] == 1
    assert "numbers that reports made" not in _over(config, days=91)


def test_a_recording_whose_row_is_gone_goes_a_day_later(config: RunConfig) -> None:
    folder = config.workspace / "screening" / "recordings"
    (kept,) = folder.glob("*/*")
    left = folder / "ab" / "abcdef"
    left.mkdir(parents=True)
    (left / "call.ogg").write_bytes(b"voice")
    _over(config)
    assert left.is_dir()
    os.utime(left, (0, 0))
    _over(config)
    assert not left.is_dir()
    assert kept.is_dir()


def test_one_replica_does_it_once_a_day(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime.now(UTC)
    assert once_a_day(config, now)
    assert not once_a_day(config, now + timedelta(hours=23))
    assert once_a_day(config, now + timedelta(hours=25))

    def busy(*_: object, **__: object) -> None:
        raise CorpusError("another build is at work")

    monkeypatch.setattr("persona_ray.apps.privacy.retention.apply_retention", busy)
    with pytest.raises(CorpusError, match="at work"):
        once_a_day(config, now + timedelta(hours=50))
    monkeypatch.undo()
    assert not once_a_day(config, now + timedelta(hours=50, minutes=59))
    assert once_a_day(config, now + timedelta(hours=51, minutes=1))
