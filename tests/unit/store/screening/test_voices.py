"""Voice libraries on both databases: samples make voices, voices go into the log."""

from __future__ import annotations

import base64
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import VOICES, What
from persona_ray.store.screening.records import Judgement
from persona_ray.store.screening.voice_records import (
    KEPT_SAMPLES,
    Marking,
    VoiceEntry,
    VoiceSample,
    VoiceState,
    mean_print,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _print(*values: float) -> bytes:
    vector = np.array(values)
    return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()


def _sample(call_id: str, *values: float, speech_s: float = 3.0) -> VoiceSample:
    return VoiceSample(call_id, _print(*values), speech_s)


def _entry(voice_id: str, sample: VoiceSample, **changed: object) -> VoiceEntry:
    values: dict[str, Any] = {"standing": "abnormal", "category": "loans", "origin": "call"}
    return VoiceEntry(
        voice_id=voice_id, engine="e", voiceprint=sample.voiceprint, **(values | changed)
    )


def _put(store: Store, voice_id: str, sample: VoiceSample, **changed: object) -> None:
    assert store.voices.put(_entry(voice_id, sample, **changed), [sample], None, NOW)


def test_a_second_call_moves_the_voice_by_its_seconds_and_the_log_says_so(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0, speech_s=2))
    assert store.voices.join("v1", _sample("c2", 0, 1, speech_s=6), None, NOW)
    entry = store.voices.get("v1")
    assert entry is not None
    assert np.frombuffer(entry.voiceprint, "<f2") == pytest.approx([0.316, 0.949], abs=1e-3)
    added, changed = store.voices.since(0, 10)
    assert [added.what, changed.what] == [What.ADDED, What.CHANGED]
    assert changed.payload is not None
    assert base64.b64decode(changed.payload["voiceprint"]) == entry.voiceprint
    assert (changed.payload["standing"], changed.payload["category"]) == ("abnormal", "loans")


def test_a_call_that_comes_again_counts_once(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0))
    for _ in range(5):
        store.voices.join("v1", _sample("c2", 0, 1), None, NOW)
    assert len(store.voices.samples("v1")) == 2
    entry = store.voices.get("v1")
    assert entry is not None
    assert entry.voiceprint == _print(1, 1)


def test_only_the_newest_samples_are_kept(store: Store) -> None:
    _put(store, "v1", _sample("c000", 1, 0))
    for number in range(1, KEPT_SAMPLES + 5):
        at = NOW + timedelta(minutes=number)
        store.voices.join("v1", _sample(f"c{number:03}", 0, 1), None, at)
    kept = [sample.call_id for sample in store.voices.samples("v1")]
    assert len(kept) == KEPT_SAMPLES
    assert "c000" not in kept
    entry = store.voices.get("v1")
    assert entry is not None
    assert entry.voiceprint == _print(0, 1)


def test_who_compared_at_an_older_state_writes_nothing(store: Store) -> None:
    seen = store.voices.state().sequence
    _put(store, "v1", _sample("c1", 1, 0))
    late = _sample("c2", 1, 0)
    assert not store.voices.put(_entry("v2", late), [late], seen, NOW)
    assert not store.voices.join("v1", late, seen, NOW)
    assert store.voices.get("v2") is None
    assert store.voices.join("v1", late, store.voices.state().sequence, NOW)


def test_of_many_who_compared_at_once_one_writes(store_url: str) -> None:
    with open_store(store_url) as store:
        seen = store.voices.state().sequence
        results: list[bool] = []

        def add(number: int) -> None:
            sample = _sample(f"c{number}", 1, 0)
            results.append(store.voices.put(_entry(f"v{number}", sample), [sample], seen, NOW))

        threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False] * 5 + [True]
        assert len(store.voices.page(NOW)) == 1


def test_a_voice_set_aside_is_in_no_log_until_an_operator_decides(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0))
    aside = {"state": VoiceState.SET_ASIDE, "near": "v1"}
    _put(store, "v2", _sample("c2", 3, 1), **aside)
    _put(store, "v3", _sample("c3", 3, 2), **aside)
    assert store.voices.state().sequence == 1
    assert [entry.voice_id for entry in store.voices.page(NOW)] == ["v1"]
    waiting = store.voices.page(NOW, state=VoiceState.SET_ASIDE)
    assert [(entry.voice_id, entry.near) for entry in waiting] == [("v2", "v1"), ("v3", "v1")]

    assert store.voices.decide("v2", "", NOW)
    assert store.voices.decide("v3", "v1", NOW)
    assert not store.voices.decide("v3", "v1", NOW)
    assert [entry.voice_id for entry in store.voices.page(NOW)] == ["v1", "v2"]
    assert {sample.call_id for sample in store.voices.samples("v1")} == {"c1", "c3"}
    assert [change.what for change in store.voices.since(1, 10)] == [What.ADDED, What.CHANGED]


def test_an_automatic_voice_expires_and_replicas_are_told(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0), expires_at=NOW + timedelta(days=1))
    _put(store, "v2", _sample("c2", 0, 1))
    later = NOW + timedelta(days=2)
    assert [entry.voice_id for entry in store.voices.page(later)] == ["v2"]
    assert store.voices.expire(later) == 1
    last = store.voices.since(2, 10)
    assert [(change.key, change.what) for change in last] == [("v1", What.REMOVED)]
    assert store.voices.samples("v1") == []


def test_a_voice_that_is_heard_again_lives_longer(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0), expires_at=NOW + timedelta(days=1))
    until = NOW + timedelta(days=9)
    store.voices.join("v1", _sample("c2", 1, 0), None, NOW, until)
    entry = store.voices.get("v1")
    assert entry is not None
    assert entry.expires_at == until


def test_a_forgotten_call_takes_its_part_out_of_the_voice_and_of_the_log(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0))
    store.voices.join("v1", _sample("c2", 0, 1), None, NOW)
    _put(store, "v2", _sample("c2", 0, 1))
    assert store.voices.voices_of("c2") == ["v1", "v2"]
    store.forget_voice_call("c2", NOW)
    left = store.voices.get("v1")
    assert left is not None
    assert left.voiceprint == _print(1, 0)
    assert store.voices.get("v2") is None
    prints = {
        change.payload["voiceprint"]
        for change in store.voices.since(0, 100)
        if change.payload is not None
    }
    assert prints == {base64.b64encode(_print(1, 0)).decode()}


def test_a_forgotten_voice_is_nowhere(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0))
    store.forget_voice("v1", NOW)
    assert store.voices.get("v1") is None
    assert store.voices.samples("v1") == []
    changes = store.voices.since(0, 100)
    assert [(change.what, change.payload) for change in changes] == [(What.REMOVED, None)]


def test_reports_change_the_standing_but_not_against_a_person(store: Store) -> None:
    _put(store, "v1", _sample("c1", 1, 0))
    _put(store, "v2", _sample("c2", 0, 1), origin="operator")
    judgement = Judgement("illegal", "refund_fraud", 5, 5.0, "5 persons", NOW + timedelta(days=3))
    database = store.reports._database
    with database.write() as session:
        for voice in ("v1", "v2", "nobody"):
            store.voices.enlist(session, voice, judgement, NOW)
        listed = store.voices.listed(session, "v1", NOW)
        assert listed is not None
        assert (listed.standing, listed.origin) == ("illegal", "reports")
        kept = store.voices.listed(session, "v2", NOW)
        assert kept is not None
        assert kept.standing == "abnormal"
        store.voices.delist(session, "v1", "operator", "an appeal", NOW)
        assert store.voices.listed(session, "v1", NOW) is None
    assert [change.key for change in store.changes.since(VOICES, 2, 10)] == ["v1", "v1"]


def test_the_mean_has_unit_length() -> None:
    mean = np.frombuffer(mean_print([_sample("a", 1, 0, 0), _sample("b", 0, 1, 1)]), "<f2")
    assert np.linalg.norm(mean.astype(np.float64)) == pytest.approx(1, abs=1e-3)


def test_history_says_who_why_and_when_and_what_it_was(store: Store) -> None:
    until = NOW + timedelta(days=1)
    _put(store, "v1", _sample("c1", 1, 0), expires_at=until)
    # A further call that says the same is no news; one that says worse is.
    same, worse = (Marking(standing, "loans", "call") for standing in ("abnormal", "illegal"))
    assert store.voices.join("v1", _sample("c2", 1, 0), None, NOW, until, same)
    assert store.voices.join("v1", _sample("c3", 1, 0), None, until, until, worse)
    assert store.voices.expire(until) == 1
    _put(store, "v2", _sample("c4", 1, 0), state=VoiceState.SET_ASIDE)
    assert store.voices.decide("v2", "", NOW, "op", "heard both")
    assert store.voices.remove("v2", until, "op", "it was me")
    was = {"standing": "abnormal", "category": "loans", "origin": "call", "state": "listed"}
    was["expires_at"] = until.isoformat()
    v1 = [(one.at, one.actor, one.action, one.entry) for one in store.voices.history("v1")]
    assert v1 == [
        (NOW, "verdict", "added", was),
        (until, "verdict", "changed", was | {"standing": "illegal"}),
        (until, "expiry", "expired", None),
    ]
    v2 = [(one.actor, one.action, one.reason) for one in store.voices.history("v2")]
    assert v2 == [
        ("verdict", "added", ""),
        ("op", "changed", "heard both"),
        ("op", "removed", "it was me"),
    ]
    # With two changes of the log.
    assert store.forget_voice("v2", NOW) == 3 + 2
    assert store.voices.history("v2") == []
