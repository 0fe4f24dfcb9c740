"""Who is forgotten stands in no table any more; others' rows are as they were."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, select

from persona_ray.config.screening import ScreeningConfig
from persona_ray.errors import ServiceError
from persona_ray.inference.screening.records import Standing
from persona_ray.inference.screening.reporting import ReportDesk, Whose
from persona_ray.store import Store
from persona_ray.store.screening.call_records import NewCall, StoredVerdict
from persona_ray.store.screening.changes import NUMBERS, VOICES
from persona_ray.store.screening.records import NumberEntry
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample, voice_key
from persona_ray.store.tables import Base
from persona_ray.store.urls import expand_url

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PRINT = b"\x00\x3c\x00\x00"
# Other applications', and what belongs to operators: a key is revoked, and kept for logs.
OTHERS = {
    "annotations",
    "split_assignments",
    "recognition_models",
    "call_recognitions",
    "customer_recognitions",
    "live_calls",
    "live_results",
    "jobs",
    "job_calls",
    "rollouts",
    "api_keys",
}
NUMBER_OF = {"ann": "+8613800000001", "bob": "+8613800000002"}


class Places:
    """Recordings by their places."""

    def __init__(self) -> None:
        self.gone: list[str] = []

    def __call__(self, places: Iterable[str]) -> None:
        self.gone += places


def desk_of(store: Store) -> ReportDesk:
    return ReportDesk(store, ScreeningConfig(), lambda: NOW)


def fill(store: Store, user: str) -> None:
    """A row or more in every table, of a user and of who called him."""
    number, call_id, voice_id = NUMBER_OF[user], f"call of {user}", f"voice to {user}"
    desk = desk_of(store)
    for owner in ("", user):
        entry = NumberEntry(owner=owner, number=number, standing="illegal", origin="operator")
        store.numbers.put(entry, "desk", NOW)
    sample = VoiceSample(voice_key(user, call_id), PRINT, 3.0)
    voice = VoiceEntry(
        voice_id=voice_id,
        engine="e",
        voiceprint=PRINT,
        standing="illegal",
        category="loans",
        origin="call",
    )
    assert store.voices.put(voice, [sample], None, NOW)
    new = NewCall(
        user_id=user,
        call_id=call_id,
        number=number,
        channel="telephone",
        at=NOW,
        decision="screen",
        source={},
    )
    call, _ = store.screened_calls.hand_over(new)
    store.screened_calls.recorded(call, f"recording of {user}")
    body = {"turns": [{"text": f"words to {user}"}], "voice": {"voice_id": voice_id}}
    verdict = StoredVerdict(
        outcome="hung_up",
        standing="illegal",
        category="loans",
        body=body,
        notice={},
        webhooks=["https://example.org/hook"],
    )
    store.screened_calls.conclude(call, verdict)
    store.screening_corrections.correct(user, call_id, "delivery", "normal", user)
    store.screening_corrections.want(user, ["delivery"])
    for kind, key in ((NUMBERS, number), (VOICES, voice_id)):
        desk.report(kind, key, user, "prize_fraud", call_id=call_id)
        desk.appeal(kind, key, user, f"text of {user}")
        desk.confirm(kind, key, Standing.ILLEGAL, "desk", reason="heard")


def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    engine = create_engine(expand_url(url))
    found = {}
    with engine.connect() as connection:
        for table in Base.metadata.sorted_tables:
            if table.name not in OTHERS and not table.name.startswith("assist_"):
                every = connection.execute(select(table)).tuples()
                found[table.name] = sorted(json.dumps(list(row), default=str) for row in every)
    engine.dispose()
    return found


def marks(user: str, by: Whose) -> tuple[str, set[str]]:
    """What names a person, and all that must be in no row then."""
    call_id, voice_id = f"call of {user}", f"voice to {user}"
    name = {Whose.USER: user, Whose.NUMBER: NUMBER_OF[user], Whose.VOICE: voice_id}[by]
    named = {name, call_id, voice_key(user, call_id), voice_id, f"words to {user}"}
    return name, named


def naming(found: dict[str, list[str]], named: Iterable[str]) -> dict[str, list[str]]:
    wanted = list(named)
    return {
        table: [row for row in every if any(mark in row for mark in wanted)]
        for table, every in found.items()
    }


@pytest.mark.parametrize("by", Whose)
def test_who_is_forgotten_stands_in_no_table(store: Store, store_url: str, by: Whose) -> None:
    for user in NUMBER_OF:
        fill(store, user)
    before = rows(store_url)
    for user in NUMBER_OF:
        everything = set.union(*(marks(user, one)[1] for one in Whose))
        # A table that this test does not know of: fill it, and forget it.
        unfilled = [table for table, found in naming(before, everything).items() if not found]
        nobody = {"audit_log", "rounds", "screening_deliveries"}
        assert set(unfilled) == nobody, "no person is named there"
    assert len(before["screening_deliveries"]) == 2
    name, named = marks("ann", by)
    files = Places()
    done = desk_of(store).forget(by, name, files)
    assert (done.calls, done.recordings, files.gone) == (1, 1, ["recording of ann"])
    theirs = set.union(*(marks("bob", one)[1] for one in Whose))
    assert naming(rows(store_url), theirs) == naming(before, theirs)
    # Devices have been told; that word goes with time.
    store.changes.prune(NOW + timedelta(days=1))
    after = rows(store_url)
    assert {table: found for table, found in naming(after, named).items() if found} == {}
    assert len(after["screening_deliveries"]) == 1
    assert desk_of(store).forget(by, name, files).calls == 0


def test_where_a_recording_stays_everything_stays(store: Store, store_url: str) -> None:
    fill(store, "ann")
    before = rows(store_url)

    def stuck(places: Iterable[str]) -> None:
        raise ServiceError(f"{len(list(places))} recordings cannot be deleted")

    for by in Whose:
        with pytest.raises(ServiceError, match="1 recordings"):
            desk_of(store).forget(by, marks("ann", by)[0], stuck)
    assert rows(store_url) == before
