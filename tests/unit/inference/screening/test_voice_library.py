"""Voice libraries: verdicts, growth without duplicates, replicas that know, persons forgotten."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from persona_ray.config.privacy import Sealed
from persona_ray.config.screening import VoiceConfig
from persona_ray.errors import StoreError, VaultError
from persona_ray.inference.screening.records import (
    Channel,
    NotEnoughSpeech,
    Standing,
    VoiceMatch,
    VoiceUnknown,
)
from persona_ray.inference.screening.voice_index import ExactIndex
from persona_ray.inference.screening.voice_library import VoiceLibrary
from persona_ray.inference.screening.voice_scores import (
    Calibration,
    ChannelCalibration,
    Strangers,
)
from persona_ray.inference.screening.voiceprint import Voiceprint
from persona_ray.store import Store, open_store
from persona_ray.store.screening.voice_records import Marking, VoiceState
from persona_ray.vault.keys import new_key
from persona_ray.vault.seal import Vault
from tests.unit.vault.fixed import FixedKeys

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PHONE = Channel.TELEPHONE
LOANS = Marking("abnormal", "loans", "call")
FRAUD = Marking("illegal", "refund_fraud", "call")
SIZE = 64
Vector = NDArray[np.float32]


class FakeEncoder:
    name, rate_hz, size = "fake/1", 8000, SIZE


class FakePrinter:
    """Hears the vector that the samples begin with; fewer samples are too little speech."""

    def __init__(self) -> None:
        self.encoder = FakeEncoder()
        self.min_speech_s = 3.0

    def hear(self, samples: Vector, rate_hz: int) -> Voiceprint | NotEnoughSpeech:
        if len(samples) < SIZE:
            return NotEnoughSpeech(len(samples) / rate_hz, self.min_speech_s)
        return Voiceprint(samples[:SIZE], 3.0)


# Strangers reach 0 +- 0.1: ten deviations are between them and one person.
STRANGERS = Strangers(np.zeros(SIZE, np.float32), 0.1 * np.eye(SIZE, dtype=np.float32))
FLAT = ChannelCalibration(STRANGERS, np.zeros((0, SIZE), np.float32))
CALIBRATION = Calibration("fake/1", dict.fromkeys(Channel, FLAT))


def person(number: int) -> Vector:
    vector = np.zeros(SIZE, np.float32)
    vector[number] = 1
    return vector


def between(one: int, other: int, share: float) -> Vector:
    """A unit vector at cosine `share` to person `one`, the rest to `other`."""
    return share * person(one) + np.float32(np.sqrt(1 - share**2)) * person(other)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/store.sqlite") as opened:
        yield opened


def library(
    store: Store,
    calibration: Calibration = CALIBRATION,
    clock: Callable[[], datetime] = lambda: NOW,
) -> VoiceLibrary:
    return VoiceLibrary(
        FakePrinter(),  # type: ignore[arg-type]
        calibration,
        ExactIndex(SIZE),
        store.voices,
        VoiceConfig(),
        clock,
    )


def add(held: VoiceLibrary, vector: Vector, call: str, marking: Marking = LOANS) -> str:
    return held.add(Voiceprint(vector, 3.0), call, PHONE, marking).voice_id


def test_too_little_speech_is_neither_a_match_nor_unknown(store: Store) -> None:
    held = library(store)
    assert held.verdict(np.zeros(8, np.float32), 8000, PHONE) == NotEnoughSpeech(0.001, 3.0)


def test_an_empty_library_knows_nobody(store: Store) -> None:
    assert library(store).verdict(person(0), 8000, PHONE) == VoiceUnknown(None)


def test_a_known_voice_is_told_with_its_category(store: Store) -> None:
    held = library(store)
    known = add(held, person(0), "c1", FRAUD)
    add(held, person(1), "c2")
    found = held.verdict(between(0, 5, 0.9), 8000, PHONE)
    assert isinstance(found, VoiceMatch)
    assert (found.voice_id, found.category) == (known, "refund_fraud")
    assert found.standing is Standing.ILLEGAL
    assert found.margin == pytest.approx(0.9, abs=1e-3)
    # 9 deviations, two voices, asked about again: 2 x 2 x 1.1e-19.
    assert found.score == pytest.approx(18.35, abs=0.1)


def test_a_stranger_is_unknown_with_the_nearest_score(store: Store) -> None:
    held = library(store)
    add(held, person(0), "c1")
    verdict = held.verdict(between(0, 5, 0.2), 8000, PHONE)
    assert isinstance(verdict, VoiceUnknown)
    assert verdict.nearest == pytest.approx(0.2, abs=1e-3)


def test_what_suffices_among_few_voices_does_not_among_many(store: Store) -> None:
    held = library(store)
    add(held, person(0), "c0")
    heard = between(0, 60, 0.3)
    assert isinstance(held.verdict(heard, 8000, PHONE), VoiceMatch)
    for number in range(1, 40):
        add(held, person(number), f"c{number}")
    assert isinstance(held.verdict(heard, 8000, PHONE), VoiceUnknown)


def test_between_two_persons_it_is_neither(store: Store) -> None:
    held = library(store)
    add(held, person(0), "c1", FRAUD)
    add(held, person(1), "c2")
    assert isinstance(held.verdict(between(0, 1, 0.7), 8000, PHONE), VoiceUnknown)


def test_a_cohort_that_is_as_near_forbids_the_match(store: Store) -> None:
    likeness = np.stack([between(0, 50, 0.7 + number / 100) for number in range(20)])
    near = ChannelCalibration(STRANGERS, likeness)
    crowded = library(store, Calibration("fake/1", dict.fromkeys(Channel, near)))
    add(crowded, person(0), "c1", FRAUD)
    assert isinstance(crowded.verdict(between(0, 50, 0.8), 8000, PHONE), VoiceUnknown)
    assert isinstance(library(store).verdict(between(0, 50, 0.8), 8000, PHONE), VoiceMatch)


def test_a_person_who_calls_often_is_one_entry_that_moves(store: Store) -> None:
    held = library(store)
    first = add(held, between(0, 20, 0.95), "c1")
    for number in range(5):
        added = held.add(Voiceprint(between(0, 30 + number, 0.95), 3.0), f"d{number}", PHONE, LOANS)
        assert (added.voice_id, added.joined) == (first, True)
    assert len(held) == len(store.voices.page(NOW)) == 1
    found = held.verdict(person(0), 8000, PHONE)
    assert isinstance(found, VoiceMatch)
    # Nearer to what the calls have in common than any of them.
    assert found.score > 21


def test_a_worse_call_makes_the_voice_worse_and_a_better_one_does_not_whiten_it(
    store: Store,
) -> None:
    held = library(store)
    add(held, person(0), "c1", LOANS)
    add(held, person(0), "c2", FRAUD)
    add(held, person(0), "c3", Marking("normal", "personal", "call"))
    found = held.verdict(person(0), 8000, PHONE)
    assert isinstance(found, VoiceMatch)
    assert (found.standing, found.category) == (Standing.ILLEGAL, "refund_fraud")


def test_what_a_person_decided_a_call_does_not_change(store: Store) -> None:
    held = library(store)
    add(held, person(0), "c1", Marking("normal", "personal", "operator"))
    add(held, person(0), "c2", FRAUD)
    found = held.verdict(person(0), 8000, PHONE)
    assert isinstance(found, VoiceMatch)
    assert found.standing is Standing.NORMAL


def test_a_voice_near_a_known_one_waits_for_an_operator_once(store: Store) -> None:
    held = library(store)
    known = add(held, person(0), "c1")
    near = held.add(Voiceprint(between(0, 9, 0.2), 3.0), "c2", PHONE, FRAUD)
    again = held.add(Voiceprint(between(0, 9, 0.2), 3.0), "c3", PHONE, FRAUD)
    assert (near.joined, near.near) == (False, known)
    assert (again.voice_id, again.joined) == (near.voice_id, True)
    assert len(held) == 1
    waiting = store.voices.page(NOW, state=VoiceState.SET_ASIDE)
    assert [entry.voice_id for entry in waiting] == [near.voice_id]
    assert store.voices.decide(near.voice_id, "", NOW)
    held.catch_up()
    found = held.verdict(person(9), 8000, PHONE)
    assert isinstance(found, VoiceMatch)
    assert found.voice_id == near.voice_id


def test_two_replicas_that_hear_one_person_at_once_make_one_entry(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with open_store(url) as here, open_store(url) as there:
        held = [library(here), library(there)]

        async def both() -> list[str]:
            jobs = [
                asyncio.to_thread(add, replica, person(number % 3), f"{number}-{place}")
                for place, replica in enumerate(held)
                for number in range(6)
            ]
            return list(await asyncio.gather(*jobs))

        assert len(set(asyncio.run(both()))) == 3
        assert len(here.voices.page(NOW)) == 3


def test_other_replicas_know_and_forget_within_a_second(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with open_store(url) as here, open_store(url) as there:
        writer, reader = library(here), library(there)
        assert reader.verdict(person(0), 8000, PHONE) == VoiceUnknown(None)
        voice = add(writer, person(0), "c1")

        def reads(kind: type) -> float:
            begin = time.monotonic()
            while not isinstance(reader.verdict(person(0), 8000, PHONE), kind):
                assert time.monotonic() - begin < 30
                time.sleep(0.02)
            return time.monotonic() - begin

        assert reads(VoiceMatch) < 1
        here.forget_voice(voice, NOW)
        assert reads(VoiceUnknown) < 1
        assert not np.any(reader._index._exact)  # type: ignore[attr-defined]


def test_a_replica_that_nobody_asks_follows_by_itself(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.sqlite"
    with open_store(url) as here, open_store(url) as there:
        writer, reader = library(here), library(there)
        add(writer, person(0), "c1")

        async def wait() -> None:
            following = asyncio.create_task(reader.follow())
            while not len(reader):
                await asyncio.sleep(0.02)
            following.cancel()

        asyncio.run(asyncio.wait_for(wait(), 30))


def test_rebuilt_from_the_store_it_is_what_it_was(store: Store) -> None:
    held = library(store)
    voices = [add(held, person(number), f"c{number}") for number in range(5)]
    store.voices.remove(voices[2], NOW)
    store.changes.prune(NOW + timedelta(days=1))
    fresh = library(store)
    fresh.catch_up()
    held.catch_up()
    assert len(fresh) == len(held) == 4
    for number in range(5):
        verdict = fresh.verdict(person(number), 8000, PHONE)
        assert verdict == held.verdict(person(number), 8000, PHONE)
        assert isinstance(verdict, VoiceUnknown) == (number == 2)


def test_who_slept_through_the_pruning_of_the_log_reads_all_anew(store: Store) -> None:
    sleeper, writer = library(store), library(store)
    gone = add(writer, person(0), "c0")
    sleeper.catch_up()
    store.voices.remove(gone, NOW)
    add(writer, person(1), "c1")
    store.changes.prune(NOW + timedelta(days=1))
    sleeper.catch_up()
    assert len(sleeper) == 1
    assert isinstance(sleeper.verdict(person(0), 8000, PHONE), VoiceUnknown)


def test_an_expired_voice_is_nobodys(store: Store) -> None:
    later = [NOW]
    held = library(store, clock=lambda: later[0])
    add(held, person(0), "c1")
    assert isinstance(held.verdict(person(0), 8000, PHONE), VoiceMatch)
    later[0] = NOW + timedelta(days=91)
    assert isinstance(held.verdict(person(0), 8000, PHONE), VoiceUnknown)


def test_a_store_that_is_away_leaves_what_is_known(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, blind = library(store), library(store)
    add(held, person(0), "c1")

    def away() -> None:
        raise StoreError("away")

    monkeypatch.setattr(store.voices, "state", away)
    time.sleep(0.3)
    assert isinstance(held.verdict(person(0), 8000, PHONE), VoiceMatch)
    with pytest.raises(StoreError):
        blind.verdict(person(0), 8000, PHONE)


def test_asked_through_the_seam_the_answer_is_the_same(store: Store) -> None:
    held = library(store)
    add(held, person(0), "c1")
    answer = asyncio.run(held.whose(person(0), 8000, PHONE))
    assert answer == held.verdict(person(0), 8000, PHONE)


def test_a_new_key_that_has_not_come_here_yet_leaves_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_ray.inference.screening.voice_library._FRESH_S", 0)
    url, old, new = f"sqlite:///{tmp_path}/store.sqlite", new_key(), new_key()
    here = FixedKeys(old)
    with (
        open_store(url, vault=Vault(here, [Sealed.VOICEPRINTS])) as store,
        open_store(url, vault=Vault(FixedKeys(old, new), [Sealed.VOICEPRINTS])) as ahead,
    ):
        held = library(store)
        add(held, person(0), "call-1")
        second = add(library(ahead), person(1), "call-2")
        for vector, known in ((person(0), True), (person(1), False)):
            verdict = held.verdict(vector, 8000, PHONE)
            assert isinstance(verdict, VoiceMatch) is known
        # Who starts now has nothing that he knows.
        with pytest.raises(VaultError, match=new.key_id):
            library(store).verdict(person(0), 8000, PHONE)
        here.come(new)
        found = held.verdict(person(1), 8000, PHONE)
        assert isinstance(found, VoiceMatch)
        assert found.voice_id == second
