"""Going back to an earlier version: as new changes, of numbers and of store.voices."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from persona_ray.store import Store
from persona_ray.store.screening.changes import NUMBERS, VOICES
from persona_ray.store.screening.records import Action, NumberEntry
from persona_ray.store.screening.rollback import RolledBack
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample

START = datetime(2026, 3, 1, tzinfo=UTC)


def stood(store: Store, kind: str, version: int) -> dict[str, object]:
    return {row.key: row.payload for row in store.changes.standing(kind, version, 1000)}


def test_any_version_of_a_random_history_comes_back(store: Store) -> None:
    chance = random.Random(3)
    now = START
    for _ in range(60):
        now += timedelta(minutes=1)
        number = f"+8613{chance.randrange(8)}"
        if chance.random() < 0.3:
            store.numbers.remove("", number, "desk", "a mistake", now)
        else:
            origin = chance.choice(["reports", "operator", "call"])
            standing = chance.choice(["illegal", "abnormal"])
            entry = NumberEntry(number=number, standing=standing, origin=origin, name=str(now))
            store.numbers.put(entry, origin, now)
    last = store.changes.state(NUMBERS).sequence
    for version in chance.sample(range(last), 5):
        truth = stood(store, NUMBERS, version)
        done = store.screening_rollback.numbers(version, "desk", "a bad import", now)
        assert done.version > last
        assert stood(store, NUMBERS, done.version) == truth
        # The table says what the log says.
        assert {entry.number: entry.payload() for entry in store.numbers.page("", now)} == truth
        last = done.version
    assert store.screening_rollback.numbers(last, "desk", "", now) == RolledBack(last, 0)


def test_it_is_in_the_history_and_does_not_revive_what_has_expired(store: Store) -> None:
    good = NumberEntry(number="+8610086", standing="illegal", origin="reports")
    store.numbers.put(replace(good, expires_at=START + timedelta(days=1)), "reports", START)
    store.numbers.put(replace(good, number="+8610010"), "reports", START)
    store.numbers.remove("", "+8610086", "desk", "wrong list", START)
    store.numbers.put(
        replace(good, number="+8610010", standing="normal", origin="operator"), "desk", START
    )
    later = START + timedelta(days=2)
    assert store.screening_rollback.numbers(2, "chief", "the desk was wrong", later).entries == 1
    assert store.numbers.look_up("+8610086", "", later) is None
    entry = store.numbers.look_up("+8610010", "", later)
    assert entry is not None
    assert (entry.standing, entry.origin) == ("illegal", "reports")
    done = [
        (item.action, item.actor, item.reason) for item in store.numbers.history("", "+8610010")
    ]
    assert done[-2:] == [
        (Action.REMOVED, "chief", "the desk was wrong"),
        (Action.ADDED, "chief", "the desk was wrong"),
    ]


def test_versions_that_cannot_be_gone_back_to(store: Store) -> None:
    for day in range(4):
        entry = NumberEntry(number="+8610086", standing="illegal", origin="operator", name=str(day))
        store.numbers.put(entry, "desk", START + timedelta(days=day))
    store.changes.prune(START + timedelta(days=1, hours=1))
    for version in (1, 5):
        with pytest.raises(ValueError, match=f"version {version}: choose one from 2 to 4"):
            store.screening_rollback.numbers(version, "desk", "", START)


def test_what_was_forgotten_stays_forgotten(store: Store) -> None:
    for number in ("+8610086", "+8610010"):
        store.numbers.put(
            NumberEntry(number=number, standing="illegal", origin="call"), "call", START
        )
    with store._database.write() as session:
        store.numbers.forget_number(session, "+8610086", START)
    store.numbers.remove("", "+8610010", "desk", "", START)
    done = store.screening_rollback.numbers(2, "desk", "", START)
    assert set(stood(store, NUMBERS, done.version)) == {"+8610010"}


def test_voices_come_back_with_their_voiceprints(store: Store) -> None:
    chance = np.random.default_rng(1)

    def voiceprint() -> bytes:
        vector = chance.normal(size=8)
        return bytes((vector / np.linalg.norm(vector)).astype("<f2").tobytes())

    def listed(voice_id: str) -> None:
        made = voiceprint()
        entry = VoiceEntry(
            voice_id=voice_id,
            engine="ge2e",
            voiceprint=made,
            standing="illegal",
            category="loans",
            origin="call",
        )
        store.voices.put(entry, [VoiceSample(f"call of {voice_id}", made, 5.0)], None, START)

    for voice_id in ("joined", "removed", "same"):
        listed(voice_id)
    version = store.changes.state(VOICES).sequence
    truth = stood(store, VOICES, version)
    store.voices.join("joined", VoiceSample("call 9", voiceprint(), 5.0), None, START)
    store.voices.remove("removed", START)
    listed("new")
    done = store.screening_rollback.voices(version, "desk", "a bad day", START)
    assert done.entries == 3
    assert done.version > version + 3
    assert stood(store, VOICES, done.version) == truth
    assert {entry.voice_id: entry.payload() for entry in store.voices.page(START)} == truth
    # A further call still joins.
    assert store.voices.join("removed", VoiceSample("call 10", voiceprint(), 5.0), None, START)
