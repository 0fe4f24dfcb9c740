"""A shared set or library as it was at an earlier version of its log.

What is put back is a change like any other, so that the version grows, history says who did it, and
devices follow. What was forgotten for a person is not in the log, and stays forgotten.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from persona_ray.store.database import Database
from persona_ray.store.screening.changes import (
    NUMBERS,
    SHARED,
    VOICES,
    Change,
    ChangeRepository,
    StreamState,
)
from persona_ray.store.screening.numbers import NumberRepository
from persona_ray.store.screening.records import NumberEntry, lasts
from persona_ray.store.screening.reports import ReportRepository
from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample
from persona_ray.store.screening.voices import VoiceRepository

_PAGE = 1000
Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RolledBack:
    """`version` is what the log came to, with `entries` of them as they were."""

    version: int
    entries: int


@dataclass(frozen=True, slots=True)
class _Difference:
    """An entry as it was and as it is; None: not in the set."""

    key: str
    then: Payload | None
    now: Payload | None


class RollbackRepository:
    """Goes back over the log of shared sets and libraries."""

    def __init__(
        self,
        database: Database,
        changes: ChangeRepository,
        numbers: NumberRepository,
        voices: VoiceRepository,
        reports: ReportRepository,
    ) -> None:
        self._database = database
        self._changes = changes
        self._numbers = numbers
        self._voices = voices
        self._reports = reports

    def numbers(self, version: int, actor: str, reason: str, now: datetime) -> RolledBack:
        """Put back what the shared numbers were at `version`, all in one transaction. What has
        expired since is left out; reports on what leaves the set are void, or the next one would
        list it again. Raises ValueError for a version that cannot be gone back to."""
        with self._database.write() as session:
            # Nobody else writes meanwhile: what is read here is what stands.
            differences = self._differences(NUMBERS, version, now)
            for difference in differences:
                self._put_number(session, difference, actor, reason, now)
            self._void(session, NUMBERS, differences, now)
        return RolledBack(self._changes.state(NUMBERS).sequence, len(differences))

    def voices(self, version: int, actor: str, reason: str, now: datetime) -> RolledBack:
        """Put back what the voice libraries were at `version`, voice by voice: a run that was
        killed goes on when it is started again. What single calls had added to a voice that has
        changed since becomes one sample. Raises as `numbers`."""
        differences = self._differences(VOICES, version, now)
        for difference in differences:
            self._voices.remove(difference.key, now, actor, reason)
            if difference.then is not None:
                entry = _voice(difference.key, difference.then)
                sample = VoiceSample(f"version {version}", entry.voiceprint, 1.0)
                self._voices.put(entry, [sample], None, now, actor, reason)
            with self._database.write() as session:
                self._void(session, VOICES, [difference], now)
        return RolledBack(self._changes.state(VOICES).sequence, len(differences))

    def _void(
        self, session: Session, kind: str, differences: Sequence[_Difference], now: datetime
    ) -> None:
        gone = [one.key for one in differences if one.then is None]
        self._reports.void(session, kind, gone, datetime.min.replace(tzinfo=UTC), now)

    def _put_number(
        self, session: Session, difference: _Difference, actor: str, reason: str, now: datetime
    ) -> None:
        if difference.now is not None:
            # Also where something else is put back: an entry gives way to one of its rank alone.
            self._numbers.delist(session, difference.key, actor, reason, now)
        if difference.then is not None:
            entry = _number(difference.key, difference.then, reason)
            self._numbers.enter(session, entry, actor, now)

    def _differences(self, kind: str, version: int, now: datetime) -> list[_Difference]:
        """In the order of keys."""
        state = self._changes.state(kind)
        _check(kind, version, state)
        touched = {change.key for change in self._since(kind, version, state.sequence)}
        then = self._stood(kind, version, touched)
        present = self._stood(kind, state.sequence, touched)
        lasting = {key: payload for key, payload in then.items() if lasts(_time(payload), now)}
        return [
            _Difference(key, lasting.get(key), present.get(key))
            for key in sorted(touched)
            if lasting.get(key) != present.get(key)
        ]

    def _since(self, kind: str, version: int, to: int) -> Iterator[Change]:
        while page := self._changes.since(kind, version, _PAGE, SHARED, to=to):
            yield from page
            version = page[-1].sequence

    def _stood(self, kind: str, version: int, keys: set[str]) -> dict[str, Payload]:
        found: dict[str, Payload] = {}
        after = ""
        while page := self._changes.standing(kind, version, _PAGE, SHARED, after_key=after):
            found |= {row.key: row.payload or {} for row in page if row.key in keys}
            after = page[-1].key
        return found


def _check(kind: str, version: int, state: StreamState) -> None:
    if not state.floor <= version <= state.sequence:
        raise ValueError(
            f"{kind} cannot go back to version {version}: choose one from {state.floor} to "
            f"{state.sequence}"
        )


def _time(payload: Payload) -> datetime | None:
    text = payload.get("expires_at")
    return None if text is None else datetime.fromisoformat(text)


def _number(number: str, payload: Payload, reason: str) -> NumberEntry:
    return NumberEntry(
        number=number,
        standing=payload["standing"],
        origin=payload["origin"],
        category=payload["category"],
        name=payload["name"],
        reason=reason,
        expires_at=_time(payload),
    )


def _voice(voice_id: str, payload: Payload) -> VoiceEntry:
    return VoiceEntry(
        voice_id=voice_id,
        engine=payload["engine"],
        voiceprint=base64.b64decode(payload["voiceprint"]),
        standing=payload["standing"],
        category=payload["category"],
        origin=payload["origin"],
        expires_at=_time(payload),
    )
