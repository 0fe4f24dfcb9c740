"""What persons see of the voice libraries, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from persona_ray.store import Store
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample, VoiceState

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PRINT = b"\x00\x3c\x00\x00"


def _put(store: Store, voice_id: str, **changed: object) -> None:
    values: dict[str, Any] = {"standing": "abnormal", "category": "loans", "origin": "call"}
    entry = VoiceEntry(voice_id=voice_id, engine="e", voiceprint=PRINT, **(values | changed))
    assert store.voices.put(entry, [VoiceSample("c1", PRINT, 3.0)], None, NOW)


def test_voices_are_counted_by_category(store: Store) -> None:
    soon, later = NOW + timedelta(days=1), NOW + timedelta(days=2)
    _put(store, "v1", expires_at=later)
    _put(store, "v2", expires_at=soon)
    _put(store, "v3", standing="illegal", category="prize_fraud")
    _put(store, "v4", state=VoiceState.SET_ASIDE, near="v1")
    _put(store, "v5", expires_at=NOW)
    loans, prize = store.voice_shelf.counts(NOW)
    assert (loans.category, loans.voices, loans.earliest_expiry) == ("loans", 2, soon)
    assert (prize.standing, prize.voices, prize.earliest_expiry) == ("illegal", 1, None)


def test_voices_come_in_pages_with_the_calls_they_are_made_of(store: Store) -> None:
    _put(store, "v1")
    _put(store, "v2", category="survey")
    _put(store, "v3", state=VoiceState.SET_ASIDE, near="v1")
    assert store.voices.join("v1", VoiceSample("c2", PRINT, 4.0), None, NOW + timedelta(hours=1))
    first, second = store.voice_shelf.page(NOW, limit=2)
    assert (first.voice_id, first.calls, second.calls) == ("v1", 2, 1)
    assert first.changed_at - first.created_at == timedelta(hours=1)
    (third,) = store.voice_shelf.page(NOW, after="v2")
    assert (third.state, third.near) == (VoiceState.SET_ASIDE, "v1")
    assert [one.voice_id for one in store.voice_shelf.page(NOW, category="survey")] == ["v2"]
