"""Voiceprints as they lie in the database: sealed, each to its row.

A voiceprint stands in three tables: of a voice, of what a call added to it, and of the log of
changes, there as base64 in the payload.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, tuple_

from persona_ray.config.privacy import Sealed
from persona_ray.store.database import Database
from persona_ray.store.screening.tables import ChangeRow
from persona_ray.store.screening.voice_tables import VoiceRow, VoiceSampleRow
from persona_ray.vault.seal import MARK, TOLD_BYTES, Vault, sealed_by

_FIELD = "voiceprint"
_BATCH = 500


def of_voice(voice_id: str) -> str:
    """The place of a voice's voiceprint, see `persona_ray.vault.seal`."""
    return f"screening_voices {voice_id}"


def of_sample(voice_id: str, call_id: str) -> str:
    return f"screening_voice_samples {voice_id} {call_id}"


def of_change(kind: str, owner: str, sequence: int) -> str:
    return f"screening_changes {kind} {sequence} {owner}"


def kept_payload(
    vault: Vault, payload: Mapping[str, Any] | None, about: str
) -> Mapping[str, Any] | None:
    """What the log writes of an entry: its voiceprint sealed, where it has one."""
    if payload is None or _FIELD not in payload:
        return payload
    kept = vault.kept(Sealed.VOICEPRINTS, base64.b64decode(payload[_FIELD]), about)
    return {**payload, _FIELD: base64.b64encode(kept).decode()}


def opened_payload(
    vault: Vault, payload: Mapping[str, Any] | None, about: str
) -> Mapping[str, Any] | None:
    """What the log says of an entry. Raises VaultError."""
    if payload is None or _FIELD not in payload:
        return payload
    opened = vault.open(base64.b64decode(payload[_FIELD]), about)
    return {**payload, _FIELD: base64.b64encode(opened).decode()}


@dataclass(frozen=True, slots=True)
class _Place:
    """A column of voiceprints: its table, keys, what its first bytes are, and what they are where
    a key of this id (empty: any) sealed them."""

    row: Any
    keys: tuple[Any, ...]
    head: ColumnElement[Any]
    looks: Callable[[str], bytes | str]
    reseal: Callable[[Vault, Any], bool]


class SealedPrints:
    """All voiceprints of the database, whoever sealed them."""

    name = "voiceprints"

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault

    @property
    def seals_plain(self) -> bool:
        """Whether `reseal` seals what is plain."""
        return self._vault.seals(Sealed.VOICEPRINTS)

    def by_key(self) -> Counter[str]:
        """How many voiceprints each key has sealed; empty: plain."""
        found: Counter[str] = Counter()
        for place in _PLACES:
            told = case((_is_sealed(place), place.head), else_=None)
            query = select(told, func.count()).where(place.head.is_not(None)).group_by(told)
            with self._database.read() as session:
                for head, count in session.execute(query):
                    found[_key_id(head)] += count
        return found

    def require_keys(self) -> None:
        """Raises VaultError where a key is missing that a voiceprint needs: without it, a listed
        voice would seem to be absent."""
        self._vault.require(self.by_key())

    def reseal(self, key_id: str) -> Iterator[int]:
        """Bring what other keys sealed, and what is plain and is to be sealed, under the key
        `key_id`, the one that seals now; how many at a time. Others may read and write meanwhile,
        and a run that was killed leaves the rest to the next. What does not open stays as it is."""
        for place in _PLACES:
            wanted = place.head != place.looks(key_id)
            if not self.seals_plain:
                wanted &= _is_sealed(place)
            query = select(place.row).where(wanted).order_by(*place.keys).limit(_BATCH)
            done, behind = _BATCH, None
            while done == _BATCH:
                with self._database.write() as session:
                    batch = query if behind is None else query.where(tuple_(*place.keys) > behind)
                    rows = session.scalars(batch).all()
                    sealed = sum(place.reseal(self._vault, row) for row in rows)
                    if rows:
                        keys = (getattr(rows[-1], column.key) for column in place.keys)
                        behind = tuple_(*keys)
                done = len(rows)
                yield sealed
        self._database.flush_deleted()


def _reseal_voice(vault: Vault, row: VoiceRow) -> bool:
    resealed = vault.resealed(row.voiceprint, of_voice(row.voice_id))
    row.voiceprint = resealed or row.voiceprint
    return bool(resealed)


def _reseal_sample(vault: Vault, row: VoiceSampleRow) -> bool:
    resealed = vault.resealed(row.voiceprint, of_sample(row.voice_id, row.call_id))
    row.voiceprint = resealed or row.voiceprint
    return bool(resealed)


def _reseal_change(vault: Vault, row: ChangeRow) -> bool:
    about, payload = of_change(row.kind, row.owner, row.sequence), row.payload or {}
    resealed = vault.resealed(base64.b64decode(payload[_FIELD]), about)
    if resealed:
        row.payload = {**payload, _FIELD: base64.b64encode(resealed).decode()}
    return bool(resealed)


def _looks(key_id: str) -> bytes:
    return MARK + key_id.encode()


def _looks_in_json(key_id: str) -> str:
    # Without a key only those characters that tell of nothing behind the mark.
    looks = base64.b64encode(_looks(key_id)).decode()
    return looks if key_id else looks[: len(MARK) * 8 // 6]


_PLACES = (
    _Place(
        VoiceRow,
        (VoiceRow.voice_id,),
        func.substr(VoiceRow.voiceprint, 1, TOLD_BYTES),
        _looks,
        _reseal_voice,
    ),
    _Place(
        VoiceSampleRow,
        (VoiceSampleRow.voice_id, VoiceSampleRow.call_id),
        func.substr(VoiceSampleRow.voiceprint, 1, TOLD_BYTES),
        _looks,
        _reseal_sample,
    ),
    _Place(
        ChangeRow,
        (ChangeRow.kind, ChangeRow.owner, ChangeRow.sequence),
        # As base64 without padding, because 3 divides what tells.
        func.substr(ChangeRow.payload[_FIELD].as_string(), 1, TOLD_BYTES // 3 * 4),
        _looks_in_json,
        _reseal_change,
    ),
)


def _is_sealed(place: _Place) -> ColumnElement[bool]:
    mark = place.looks("")
    return func.substr(place.head, 1, len(mark)) == mark


def _key_id(head: bytes | str | None) -> str:
    """Of the first bytes of a column; empty where it is plain."""
    if head is None:
        return ""
    return sealed_by(base64.b64decode(head) if isinstance(head, str) else bytes(head))
