"""What leaves by itself while the application is up, without any request."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from persona_ray.config import load_config
from persona_ray.config.screening import ReportsConfig
from persona_ray.inference.screening.reports import ReportJudge
from persona_ray.serving.screening import housekeeping
from persona_ray.store import Store
from persona_ray.store.screening.call_records import NewCall, StoredVerdict
from persona_ray.store.screening.changes import NUMBERS
from persona_ray.store.screening.records import NumberEntry, Report
from persona_ray.store.screening.voice_records import VoiceEntry
from tests.unit.serving.screening.parts import Fakes, application

NUMBER = "+8613800138000"


def test_what_has_expired_or_is_old_leaves_by_itself(
    tmp_path: Path, store: Store, fake: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "_EXPIRE_EVERY_S", 0.02)
    # A call is kept for a second and a half.
    config = load_config(None, [f"workspace={tmp_path}", "screening.records.keep_days=1.7e-5"])
    with ExitStack() as up:
        for _ in range(2):
            up.enter_context(TestClient(application(config, store, fake)))
        _fill(store, datetime.now(UTC))
        assert _left(store) == {"number", "voice", "report", "call"}
        until = time.monotonic() + 20
        while _left(store) and time.monotonic() < until:
            time.sleep(0.02)
        assert not _left(store)
    # Once, by whichever of the two replicas.
    assert [one.action for one in store.numbers.history("", NUMBER)] == ["added", "expired"]
    told = [change.what for change in store.changes.since(NUMBERS, 0, 9)]
    assert told == ["added", "removed"]


def _fill(store: Store, now: datetime) -> None:
    soon = now + timedelta(seconds=1.5)
    call, _ = store.screened_calls.hand_over(
        NewCall(
            user_id="li",
            call_id="k1",
            number=NUMBER,
            channel="telephone",
            at=now,
            decision="screen",
            source={},
        )
    )
    ended = StoredVerdict(outcome="ended", standing="", category="", body={}, notice={})
    store.screened_calls.conclude(call, ended)
    voice = VoiceEntry(
        voice_id="v1",
        engine="ge2e",
        voiceprint=b"",
        standing="illegal",
        category="loans",
        origin="call",
        expires_at=soon,
    )
    store.voices.put(voice, [], None, now)
    report = Report(
        report_id="r1",
        kind=NUMBERS,
        key=NUMBER,
        reporter="ann",
        category="loans",
        standing="abnormal",
        at=now - timedelta(days=300) + timedelta(seconds=1.5),
    )
    store.reports.add(report, ReportJudge(ReportsConfig()), 10)
    entry = NumberEntry(number=NUMBER, standing="illegal", origin="call", expires_at=soon)
    store.numbers.put(entry, "screening", now)


def _left(store: Store) -> set[str]:
    """What stands in the tables, whether it counts or not."""
    there = {
        "number": "added" in [one.action for one in store.numbers.history("", NUMBER)][-1:],
        "voice": store.voices.get("v1") is not None,
        "report": bool(store.reports.of_reporter("ann")),
        "call": bool(store.screened_calls.inbox("li", 9)),
    }
    return {name for name, stands in there.items() if stands}
