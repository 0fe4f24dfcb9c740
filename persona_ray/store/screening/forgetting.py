"""Forgetting a person who used screening, or who called: all that is kept, in one transaction.

A recording is deleted before its row is: where a file stays, the rows stay too, and the same can be
asked again. The log's last word to devices holds a number or a voice's id until it is pruned. What
a person did as an operator stands under the name of his key; keys are revoked by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Select, String, cast, delete, func, select, tuple_
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.screening.call_tables import ScreenedCallRow, ScreeningSettingsRow
from persona_ray.store.screening.calls import delete_calls
from persona_ray.store.screening.changes import NUMBERS, VOICES
from persona_ray.store.screening.tables import (
    AppealRow,
    NumberHistoryRow,
    NumberRow,
    ReporterRow,
    ReportRow,
)
from persona_ray.store.screening.voice_records import voice_key
from persona_ray.store.screening.voice_tables import VoiceRow, VoiceSampleRow

if TYPE_CHECKING:
    from persona_ray.store.screening.appeals import AppealRepository
    from persona_ray.store.screening.numbers import NumberRepository
    from persona_ray.store.screening.records import Judge
    from persona_ray.store.screening.reports import ReportRepository
    from persona_ray.store.screening.voices import VoiceRepository

# Deletes the recordings at these places of the workspace.
DeleteFiles = Callable[[Iterable[str]], None]


@dataclass(frozen=True, slots=True)
class ForgottenPerson:
    """So many calls with so many recordings, and other rows."""

    calls: int
    recordings: int
    rows: int


@dataclass(frozen=True, slots=True)
class CallsOf:
    """Ids of a person's screened calls, and what was said in them."""

    calls: frozenset[str]
    texts: frozenset[str]


class ForgettingRepository:
    """By whom calls were for, by the number that called, by the voice."""

    def __init__(
        self,
        database: Database,
        numbers: NumberRepository,
        voices: VoiceRepository,
        reports: ReportRepository,
        appeals: AppealRepository,
    ) -> None:
        self._database = database
        self._numbers = numbers
        self._voices = voices
        self._reports = reports
        self._appeals = appeals

    def everybody(self) -> dict[str, set[str]]:
        """All users, numbers and voices that any table names, by kind."""
        named: dict[str, tuple[Select[str], ...]] = {
            "user": (
                select(ScreenedCallRow.user_id),
                select(ScreeningSettingsRow.user_id),
                select(NumberRow.owner),
                select(NumberHistoryRow.owner),
                select(ReportRow.reporter),
                select(ReporterRow.reporter),
                select(AppealRow.appellant),
            ),
            "number": (
                select(ScreenedCallRow.number),
                select(NumberRow.number),
                select(NumberHistoryRow.number),
                *(select(row.key).where(row.kind == NUMBERS) for row in (ReportRow, AppealRow)),
            ),
            "voice": (
                select(VoiceRow.voice_id),
                *(select(row.key).where(row.kind == VOICES) for row in (ReportRow, AppealRow)),
            ),
        }
        with self._database.read() as session:
            return {
                kind: {name for query in some for name in session.scalars(query.distinct()) if name}
                for kind, some in named.items()
            }

    def calls_of(self, *, user: str = "", number: str = "", voice: str = "") -> CallsOf:
        """The calls that `user`, `number` and `voice` would forget."""
        row, found = ScreenedCallRow, dict[tuple[str, str], Mapping[str, Any]]()
        with self._database.read() as session:
            for mine, asked in ((row.user_id == user, user), (row.number == number, number)):
                if asked:
                    query = select(row.user_id, row.call_id, row.verdict).where(mine)
                    found.update(
                        {(of, call): said or {} for of, call, said in session.execute(query)}
                    )
            for name in _heard_in(session, voice) if voice else ():
                heard = session.get(row, name)
                found[name] = (heard.verdict if heard else None) or {}
        turns = [turn for verdict in found.values() for turn in verdict.get("turns", ())]
        # What the robot says it says to everybody.
        texts = frozenset(turn["text"] for turn in turns if turn["speaker"] != "robot")
        return CallsOf(frozenset(call_id for _, call_id in found), texts)

    def user(
        self, user_id: str, judge: Judge, now: datetime, files: DeleteFiles
    ) -> ForgottenPerson:
        """A user's calls with what they added to the voice libraries, settings, own sets, reports,
        record and appeals. `judge` says what the reports of others come to without his."""
        with self._database.write() as session:
            rows = self._numbers.forget_owner(session, user_id)
            rows += self._reports.forget_reporter(session, user_id, judge, now)
            rows += self._appeals.forget_appellant(session, user_id)
            settings = delete(ScreeningSettingsRow).where(ScreeningSettingsRow.user_id == user_id)
            rows += affected(session.execute(settings))
            found = self._calls(session, ScreenedCallRow.user_id == user_id, rows, now, files)
        self._database.flush_deleted()
        return found

    def number(self, number: str, now: datetime, files: DeleteFiles) -> ForgottenPerson:
        """A number in all sets, with history, reports and appeals, and all calls that it made,
        whomever they were for, with what they added to the voice libraries."""
        with self._database.write() as session:
            rows = self._numbers.forget_number(session, number, now)
            rows += self._reports.forget_key(session, NUMBERS, number)
            rows += self._appeals.forget_key(session, NUMBERS, number)
            found = self._calls(session, ScreenedCallRow.number == number, rows, now, files)
        self._database.flush_deleted()
        return found

    def voice(self, voice_id: str, now: datetime, files: DeleteFiles) -> ForgottenPerson:
        """A voice with its samples, history, reports and appeals, and the calls that it was heard
        in: those it is made of, as far as they are kept, and those that were told by it."""
        with self._database.write() as session:
            heard = _heard_in(session, voice_id)
            rows = self._voices.forget_voice(session, voice_id, now)
            rows += self._said_of(session, voice_id)
            calls = recordings = 0
            for some in chunks(heard):
                name = tuple_(ScreenedCallRow.user_id, ScreenedCallRow.call_id)
                found = self._calls(session, name.in_(some), 0, now, files)
                calls, recordings = calls + found.calls, recordings + found.recordings
                rows += found.rows
        self._database.flush_deleted()
        return ForgottenPerson(calls, recordings, rows)

    def _calls(
        self,
        session: Session,
        which: ColumnElement[bool],
        rows: int,
        now: datetime,
        files: DeleteFiles,
    ) -> ForgottenPerson:
        deleted = delete_calls(session, which)
        for user_id, call_id in deleted.names:
            key = voice_key(user_id, call_id)
            query = select(VoiceSampleRow.voice_id).where(VoiceSampleRow.call_id == key)
            made_of_it = session.scalars(query).all()
            rows += self._voices.forget_call(session, key, now)
            rows += sum(self._said_of(session, voice_id) for voice_id in made_of_it)
        files(deleted.recordings)
        return ForgottenPerson(deleted.calls, len(deleted.recordings), rows)

    def _said_of(self, session: Session, voice_id: str) -> int:
        """Of a voice that is gone nothing that was said of it is kept; rows deleted."""
        if session.get(VoiceRow, voice_id) is not None:
            return 0
        rows = self._reports.forget_key(session, VOICES, voice_id)
        return rows + self._appeals.forget_key(session, VOICES, voice_id)


def _heard_in(session: Session, voice_id: str) -> list[tuple[str, str]]:
    """Calls that a voice was heard in."""
    row, sample = ScreenedCallRow, VoiceSampleRow
    keys = set(session.scalars(select(sample.call_id).where(sample.voice_id == voice_id)))
    names = session.execute(select(row.user_id, row.call_id)).tuples()
    heard = {name for name in names if voice_key(*name) in keys}
    # Narrowed by the database, compared exactly here.
    said = func.coalesce(cast(row.verdict, String), "").contains(voice_id, autoescape=True)
    for user_id, call_id, verdict in session.execute(
        select(row.user_id, row.call_id, row.verdict).where(said)
    ).tuples():
        if ((verdict or {}).get("voice") or {}).get("voice_id") == voice_id:
            heard.add((user_id, call_id))
    return sorted(heard)
