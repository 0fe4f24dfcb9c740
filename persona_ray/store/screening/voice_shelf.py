"""What the voice libraries hold, without their voiceprints: for persons who look at them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import defer

from persona_ray.store.database import Database
from persona_ray.store.screening.tables import lasting
from persona_ray.store.screening.voice_records import VoiceState
from persona_ray.store.screening.voice_tables import VoiceRow, VoiceSampleRow


@dataclass(frozen=True, slots=True)
class VoiceCount:
    """So many listed voices of one standing and category (empty: not known). `earliest_expiry`:
    of the one that goes first; None where none of them goes by itself."""

    standing: str
    category: str
    voices: int
    earliest_expiry: datetime | None


@dataclass(frozen=True, slots=True)
class ShelvedVoice:
    """A voice as it stands, of so many `calls`; `near` as in VoiceEntry."""

    voice_id: str
    standing: str
    category: str
    origin: str
    state: VoiceState
    near: str
    calls: int
    created_at: datetime
    changed_at: datetime
    expires_at: datetime | None


class VoiceShelf:
    """Reads alone; VoiceRepository writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self, now: datetime) -> list[VoiceCount]:
        """Of listed voices that stand now, most first."""
        row, voices = VoiceRow, func.count()
        query = (
            select(row.standing, row.category, voices, func.min(row.expires_at))
            .where(row.state == VoiceState.LISTED, lasting(VoiceRow.expires_at, now))
            .group_by(row.standing, row.category)
            .order_by(voices.desc(), row.standing, row.category)
        )
        with self._database.read() as session:
            return [VoiceCount(*found) for found in session.execute(query).tuples()]

    def page(
        self, now: datetime, after: str = "", limit: int = 100, category: str = ""
    ) -> list[ShelvedVoice]:
        """Voices that stand now, behind id `after`, in the order of ids; also those set aside."""
        row = VoiceRow
        calls = (
            select(func.count())
            .select_from(VoiceSampleRow)
            .where(VoiceSampleRow.voice_id == row.voice_id)
            .scalar_subquery()
        )
        query = select(row, calls).where(row.voice_id > after, lasting(VoiceRow.expires_at, now))
        # The voiceprints stay where they are.
        query = query.options(defer(row.voiceprint))
        if category:
            query = query.where(row.category == category)
        with self._database.read() as session:
            found = session.execute(query.order_by(row.voice_id).limit(limit)).tuples()
            return [_shelved(voice, count) for voice, count in found]


def _shelved(row: VoiceRow, calls: int) -> ShelvedVoice:
    return ShelvedVoice(
        voice_id=row.voice_id,
        standing=row.standing,
        category=row.category,
        origin=row.origin,
        state=VoiceState(row.state),
        near=row.near,
        calls=calls,
        created_at=row.created_at,
        changed_at=row.changed_at,
        expires_at=row.expires_at,
    )
