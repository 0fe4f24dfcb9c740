"""The voice libraries: one entry for each person's voice, made of what single calls added.

Every change of a listed voice goes into the log of changes in the same transaction; a voice that is
set aside for an operator is not in the log. Who compares before adding says which sequence it
compared at (`seen`): where the log has moved on, nothing is written, and it compares again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from persona_ray.config.privacy import Sealed
from persona_ray.store.database import Database, affected
from persona_ray.store.screening import voice_history as history
from persona_ray.store.screening.changes import (
    SHARED,
    VOICES,
    Change,
    ChangeRepository,
    NewChange,
    StreamState,
    What,
)
from persona_ray.store.screening.records import Action, HistoryItem, Judgement, Listed, lasts, rank
from persona_ray.store.screening.sealed import of_sample, of_voice
from persona_ray.store.screening.tables import StreamRow, lasting
from persona_ray.store.screening.voice_records import (
    KEPT_SAMPLES,
    Marking,
    VoiceEntry,
    VoiceSample,
    VoiceState,
    mean_print,
)
from persona_ray.store.screening.voice_tables import VoiceRow, VoiceSampleRow
from persona_ray.vault.seal import PLAIN, Vault

_BATCH = 500
# From harmless to worst: a voice that is heard again may only become worse by itself.
_WORSE = ("normal", "abnormal", "illegal")
_NAMES = tuple(VoiceEntry.__dataclass_fields__)


class VoiceRepository:
    """Voices by their id, their voiceprints sealed by `vault`. Implements ReportedSet."""

    def __init__(self, database: Database, changes: ChangeRepository, vault: Vault = PLAIN) -> None:
        self._database = database
        self._changes = changes
        self._vault = vault

    def state(self) -> StreamState:
        """How far the libraries' log has come."""
        return self._changes.state(VOICES)

    def since(self, sequence: int, limit: int) -> list[Change]:
        """Changes behind `sequence`, in their order; see ChangeRepository."""
        return self._changes.since(VOICES, sequence, limit)

    def page(
        self, now: datetime, after: str = "", limit: int = 1000, state: str = VoiceState.LISTED
    ) -> list[VoiceEntry]:
        """Voices that stand now, behind id `after`, in the order of ids."""
        query = select(*VoiceRow.__table__.columns).where(
            VoiceRow.voice_id > after, VoiceRow.state == state, lasting(VoiceRow.expires_at, now)
        )
        with self._database.read() as session:
            rows = session.execute(query.order_by(VoiceRow.voice_id).limit(limit))
            return [self._entry(row) for row in rows]

    def get(self, voice_id: str) -> VoiceEntry | None:
        """The voice, also one set aside or expired; None where there is none."""
        with self._database.read() as session:
            row = session.get(VoiceRow, voice_id)
            return None if row is None else self._entry(row)

    def samples(self, voice_id: str) -> list[VoiceSample]:
        """What single calls added, newest first."""
        with self._database.read() as session:
            return self._samples(session, voice_id)

    def voices_of(self, call_id: str) -> list[str]:
        """Ids of the voices that this call added to."""
        query = select(VoiceSampleRow.voice_id).where(VoiceSampleRow.call_id == call_id)
        with self._database.read() as session:
            return list(session.scalars(query.order_by(VoiceSampleRow.voice_id)))

    def history(self, voice_id: str) -> list[HistoryItem]:
        """What was done to a voice, oldest first; also of one that is gone."""
        with self._database.read() as session:
            return history.read(session, voice_id)

    def put(
        self,
        entry: VoiceEntry,
        samples: Sequence[VoiceSample],
        seen: int | None,
        now: datetime,
        actor: str = "",
        reason: str = "",
    ) -> bool:
        """A new voice of these samples. False, and nothing is written, where the log has moved
        beyond `seen`; None: whatever it has. `actor` and `reason`: for the history."""
        with self._database.write() as session:
            if _moved(session, seen):
                return False
            row = VoiceRow(created_at=now, changed_at=now, **self._columns(entry))
            session.add(row)
            session.flush()
            for sample in samples:
                session.add(self._sample_row(entry.voice_id, sample, now))
            self._tell(session, row, What.ADDED, now)
            history.note(session, row, Action.ADDED, now, actor, reason)
        return True

    def join(
        self,
        voice_id: str,
        sample: VoiceSample,
        seen: int | None,
        now: datetime,
        expires_at: datetime | None = None,
        marking: Marking | None = None,
    ) -> bool:
        """Add a call's sample to a voice: its voiceprint becomes the mean of its samples. A call
        that comes again counts once. False as in `put`, and where the voice is gone.

        An entry that expires does so no earlier than `expires_at`. It takes a worse standing of
        `marking`, unless a person gave it its own.
        """
        with self._database.write() as session:
            row = session.get(VoiceRow, voice_id)
            if row is None or _moved(session, seen):
                return False
            known = session.get(VoiceSampleRow, (voice_id, sample.call_id))
            if known is not None:
                session.delete(known)
                session.flush()
            session.add(self._sample_row(voice_id, sample, now))
            session.flush()
            self._settle(session, row, now)
            if row.expires_at is not None and expires_at is not None:
                row.expires_at = max(row.expires_at, expires_at)
            if marking is not None and _is_worse(row, marking):
                row.standing, row.category = marking.standing, marking.category
                row.origin = marking.origin
                history.note(session, row, Action.CHANGED, now)
            self._tell(session, row, What.CHANGED, now)
        return True

    def decide(
        self, voice_id: str, same_as: str, now: datetime, actor: str = "operator", reason: str = ""
    ) -> bool:
        """An operator's word on a voice set aside: it is the person of voice `same_as`, or (empty)
        a new one. False where it is not set aside, or there is no `same_as`."""
        with self._database.write() as session:
            row = session.get(VoiceRow, voice_id)
            if row is None or row.state != VoiceState.SET_ASIDE:
                return False
            if not same_as:
                row.state, row.near = VoiceState.LISTED, ""
                self._tell(session, row, What.ADDED, now)
                history.note(session, row, Action.CHANGED, now, actor, reason)
                return True
            other = session.get(VoiceRow, same_as)
            if other is None or other is row:
                return False
            for sample in self._samples(session, voice_id):
                if session.get(VoiceSampleRow, (same_as, sample.call_id)) is None:
                    session.add(self._sample_row(same_as, sample, now))
            history.note(session, row, Action.REMOVED, now, actor, reason)
            session.delete(row)
            session.flush()
            self._settle(session, other, now)
            self._tell(session, other, What.CHANGED, now)
        return True

    def remove(
        self, voice_id: str, now: datetime, actor: str = "operator", reason: str = ""
    ) -> bool:
        """Take a voice out with its samples; False where there was none."""
        with self._database.write() as session:
            return self._drop(session, voice_id, Action.REMOVED, actor, reason, now)

    def expire(self, now: datetime) -> int:
        """Take out what has expired; how many. `page` leaves it out by itself."""
        expired = 0
        query = select(VoiceRow.voice_id).where(VoiceRow.expires_at <= now).limit(_BATCH)
        while True:
            with self._database.write() as session:
                gone = list(session.scalars(query))
                for voice_id in gone:
                    self._drop(
                        session, voice_id, Action.EXPIRED, "expiry", "its time was over", now
                    )
            expired += len(gone)
            if len(gone) < _BATCH:
                return expired

    def forget_voice(self, session: Session, voice_id: str, now: datetime) -> int:
        """Delete a person's voice, its samples, history and what the log says of it, in the
        caller's transaction; rows deleted. Replicas and devices are told to remove it."""
        rows = affected(
            session.execute(delete(VoiceSampleRow).where(VoiceSampleRow.voice_id == voice_id))
        )
        rows += affected(session.execute(delete(VoiceRow).where(VoiceRow.voice_id == voice_id)))
        # Whoever waits beside it waits for nobody now.
        beside = update(VoiceRow).where(VoiceRow.near == voice_id)
        session.execute(beside.values(near=""), execution_options={"synchronize_session": False})
        rows += history.forget(session, voice_id)
        return rows + self._changes.forget(session, VOICES, voice_id, now)

    def forget_call(self, session: Session, call_id: str, now: datetime) -> int:
        """Delete what a call added, in the caller's transaction; rows deleted. A voice that
        nothing is left of is forgotten, the others are made anew of what is left."""
        query = select(VoiceSampleRow.voice_id).where(VoiceSampleRow.call_id == call_id)
        voices = list(session.scalars(query))
        mine = delete(VoiceSampleRow).where(VoiceSampleRow.call_id == call_id)
        rows = affected(session.execute(mine))
        for voice_id in voices:
            row = session.get(VoiceRow, voice_id)
            if row is None or not self._samples(session, voice_id):
                rows += self.forget_voice(session, voice_id, now)
                continue
            self._settle(session, row, now)
            # What the log says of it was made of the call too.
            rows += self._changes.forget(session, VOICES, voice_id, now)
            self._tell(session, row, What.ADDED, now)
        return rows

    def listed(self, session: Session, key: str, now: datetime) -> Listed | None:
        """See ReportedSet."""
        row = session.get(VoiceRow, key)
        if row is None or row.state != VoiceState.LISTED or not lasts(row.expires_at, now):
            return None
        return Listed(row.origin, row.standing, row.category, row.created_at, row.expires_at)

    def enlist(self, session: Session, key: str, judgement: Judgement, now: datetime) -> None:
        """See ReportedSet. A voice that nobody kept cannot be listed: nothing happens."""
        row = session.get(VoiceRow, key)
        if row is None:
            return
        before, is_new = history.told(row), row.state != VoiceState.LISTED
        if not is_new and rank(row.origin) > rank("reports"):
            return
        row.state, row.near, row.origin = VoiceState.LISTED, "", "reports"
        row.standing, row.category = judgement.standing, judgement.category
        row.expires_at, row.changed_at = judgement.expires_at, now
        self._tell(session, row, What.ADDED if is_new else What.CHANGED, now)
        if history.told(row) != before:
            history.note(session, row, Action.CHANGED, now, "reports", judgement.reason)

    def delist(self, session: Session, key: str, actor: str, reason: str, now: datetime) -> None:
        """See ReportedSet."""
        self._drop(session, key, Action.REMOVED, actor, reason, now)

    def _drop(
        self,
        session: Session,
        voice_id: str,
        action: Action,
        actor: str,
        reason: str,
        now: datetime,
    ) -> bool:
        row = session.get(VoiceRow, voice_id)
        if row is None:
            return False
        history.note(session, row, action, now, actor, reason)
        if row.state == VoiceState.LISTED:
            removed = NewChange(voice_id, What.REMOVED, None)
            self._changes.append(session, VOICES, [removed], now)
        session.execute(delete(VoiceSampleRow).where(VoiceSampleRow.voice_id == voice_id))
        session.delete(row)
        session.flush()
        return True

    def _settle(self, session: Session, row: VoiceRow, now: datetime) -> None:
        """The voiceprint of a voice from its newest samples; older ones are dropped."""
        samples = self._samples(session, row.voice_id)
        for old in samples[KEPT_SAMPLES:]:
            key = (VoiceSampleRow.voice_id == row.voice_id, VoiceSampleRow.call_id == old.call_id)
            session.execute(delete(VoiceSampleRow).where(*key))
        mean = mean_print(samples[:KEPT_SAMPLES])
        row.voiceprint = self._vault.kept(Sealed.VOICEPRINTS, mean, of_voice(row.voice_id))
        row.changed_at = now

    def _tell(self, session: Session, row: VoiceRow, what: What, now: datetime) -> None:
        if row.state != VoiceState.LISTED:
            return
        change = NewChange(row.voice_id, what, self._entry(row).payload())
        self._changes.append(session, VOICES, [change], now)

    def _samples(self, session: Session, voice_id: str) -> list[VoiceSample]:
        row = VoiceSampleRow
        query = select(row.call_id, row.voiceprint, row.speech_s)
        query = query.where(row.voice_id == voice_id).order_by(row.at.desc(), row.call_id)
        return [
            VoiceSample(call_id, self._vault.open(kept, of_sample(voice_id, call_id)), speech_s)
            for call_id, kept, speech_s in session.execute(query).tuples()
        ]

    def _sample_row(self, voice_id: str, sample: VoiceSample, now: datetime) -> VoiceSampleRow:
        about = of_sample(voice_id, sample.call_id)
        return VoiceSampleRow(
            voice_id=voice_id,
            call_id=sample.call_id,
            voiceprint=self._vault.kept(Sealed.VOICEPRINTS, sample.voiceprint, about),
            speech_s=sample.speech_s,
            at=now,
        )

    def _columns(self, entry: VoiceEntry) -> dict[str, Any]:
        about = of_voice(entry.voice_id)
        kept = self._vault.kept(Sealed.VOICEPRINTS, entry.voiceprint, about)
        return {name: getattr(entry, name) for name in _NAMES} | {"voiceprint": kept}

    def _entry(self, row: Any) -> VoiceEntry:
        values = {name: getattr(row, name) for name in _NAMES}
        values["voiceprint"] = self._vault.open(row.voiceprint, of_voice(row.voice_id))
        return VoiceEntry(**{**values, "state": VoiceState(values["state"])})


def _is_worse(row: VoiceRow, marking: Marking) -> bool:
    if rank(row.origin) > rank(marking.origin):
        return False
    return _WORSE.index(marking.standing) > _WORSE.index(row.standing)


def _moved(session: Session, seen: int | None) -> bool:
    if seen is None:
        return False
    query = select(StreamRow.sequence).where(StreamRow.kind == VOICES, StreamRow.owner == SHARED)
    return (session.scalar(query) or 0) != seen
