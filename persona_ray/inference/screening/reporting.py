"""What persons say of numbers and voices, and what operators find: reports, corrections, appeals.

Everything here talks to the database: call it from a thread. Mistakes of the asker are
RequestErrors; none repeats a number.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from persona_ray.errors import RequestError
from persona_ray.inference.screening.records import Known, Origin, Standing
from persona_ray.inference.screening.reports import ReportJudge
from persona_ray.inference.screening.sources import Clock, StoredSources, known, utc_now
from persona_ray.store.audit import about_person, note_forgotten
from persona_ray.store.screening.appeals import (
    AppealDecidedError,
    NotInSetError,
    UnknownAppealError,
)
from persona_ray.store.screening.changes import NUMBERS, VOICES
from persona_ray.store.screening.records import Appeal, Judgement, NumberEntry, Report
from persona_ray.store.screening.reports import TooManyReportsError, UnknownReportError

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.store import Store
    from persona_ray.store.screening.forgetting import CallsOf, DeleteFiles, ForgottenPerson

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Reported:
    """A report that was taken, and what all reports on its key come to now."""

    report: Report
    judgement: Judgement


class Whose(StrEnum):
    """What a person is to be forgotten by."""

    USER = "user"
    NUMBER = "number"
    VOICE = "voice"


@dataclass(frozen=True, slots=True)
class Tidied:
    """Rows that went because their time was over."""

    numbers: int
    voices: int
    reports: int
    changes: int


class ReportDesk:
    """Reports on `numbers` and `voices` of one store, under the configured rules."""

    def __init__(self, store: Store, config: ScreeningConfig, clock: Clock = utc_now) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._sources = StoredSources(store, config, clock)
        self._judge = ReportJudge(config.reports)

    def report(
        self, kind: str, key: str, person: str, category: str, device: str = "", call_id: str = ""
    ) -> Reported:
        """Take a person's report that a number or voice is of a category.

        Raises RequestError: no such kind or category, no number, too many reports in a day (429).
        """
        return self._report(kind, key, person, category, device, call_id, "report")

    def correct(
        self, user: str, number: str, category: str, device: str = "", call_id: str = ""
    ) -> Known:
        """A user says what a call from a number was: his own sets change at once, and it counts as
        a report for the shared ones (unless he has made too many). RequestError as in `report`."""
        found = self._sources.number(number)
        entry = NumberEntry(
            owner=user,
            number=found,
            standing=self._standing(category),
            category=category,
            origin=Origin.CORRECTION,
        )
        entry = self._store.numbers.put(entry, user, self._clock())
        try:
            self._report(NUMBERS, found, user, category, device, call_id, "correction")
        except RequestError as error:
            if error.code != "report.too_many":
                raise
        return known(entry)

    def retract(self, report_id: str, person: str) -> Judgement:
        """A person takes a report back. Raises RequestError (404) where it is not his to take."""
        try:
            return self._store.reports.retract(report_id, person, self._judge, self._clock())
        except UnknownReportError:
            raise RequestError(
                "report.unknown",
                f"you have no report '{report_id}' that counts",
                status=404,
                field="report_id",
                fix="list your reports; one that was retracted is not retracted again",
            ) from None

    def tally(self, kind: str, key: str) -> Judgement:
        """What the reports on a key come to now."""
        return self._store.reports.tally(kind, self._key(kind, key), self._judge, self._clock())

    def confirm(
        self,
        kind: str,
        key: str,
        standing: Standing,
        actor: str,
        *,
        category: str = "",
        name: str = "",
        reason: str = "",
        expires_at: datetime | None = None,
    ) -> None:
        """An operator finds what a number or voice is. Its reporters' records tell it; a number
        goes into the shared sets under the operator's word, which reports don't move."""
        found, now = self._key(kind, key), self._clock()
        with self._store.write() as session:
            self._store.reports.settle(
                session, kind, found, standing, category, actor, reason, self._judge, now
            )
            if kind == NUMBERS:
                entry = NumberEntry(
                    number=found,
                    standing=standing,
                    category=category,
                    name=name,
                    origin=Origin.OPERATOR,
                    reason=reason,
                    expires_at=expires_at,
                )
                self._store.numbers.enter(session, entry, actor, now)

    def appeal(self, kind: str, key: str, appellant: str, text: str) -> Appeal:
        """Somebody says that a shared entry is wrong. Raises RequestError (404) where there is
        none."""
        appeal = Appeal(
            appeal_id=uuid.uuid4().hex,
            kind=kind,
            key=self._key(kind, key),
            appellant=appellant,
            text=text,
            made_at=self._clock(),
        )
        try:
            return self._store.appeals.make(appeal)
        except NotInSetError:
            raise RequestError(
                "appeal.not_listed",
                f"what you appeal against is not in the shared {kind}",
                status=404,
                field="key",
                fix="where it is in a user's own set, that user alone can take it out",
            ) from None

    def decide(self, appeal_id: str, granted: bool, actor: str, reason: str) -> Appeal:
        """An operator grants or refuses an appeal. Raises RequestError (404, 409)."""
        try:
            return self._store.appeals.decide(
                appeal_id, granted, actor, reason, self._judge, self._clock()
            )
        except UnknownAppealError:
            raise RequestError(
                "appeal.unknown",
                f"there is no appeal '{appeal_id}'",
                status=404,
                field="appeal_id",
                fix="list the open appeals",
            ) from None
        except AppealDecidedError:
            raise RequestError(
                "appeal.decided",
                f"appeal '{appeal_id}' is decided",
                status=409,
                field="appeal_id",
                fix="the appellant can appeal anew while the entry stands",
            ) from None

    def roll_back(self, since: datetime, actor: str, reason: str) -> list[str]:
        """Undo what reports and calls did to the shared numbers since a time, and void those
        reports; the numbers concerned."""
        now = self._clock()
        with self._store.write() as session:
            numbers = self._store.numbers.roll_back(session, since, actor, reason, now)
            self._store.reports.void(session, NUMBERS, numbers, since, now)
        return numbers

    def calls_of(self, *, user: str = "", number: str = "", voice: str = "") -> CallsOf:
        """The calls that `forget` would delete. Raises RequestError for what is no number."""
        number = self._sources.number(number) if number else ""
        return self._store.forgetting.calls_of(user=user, number=number, voice=voice)

    def forget(self, whose: Whose, name: str, files: DeleteFiles) -> ForgottenPerson:
        """Delete all that is kept of a person: of a user by id, of a caller by number or voice.
        The shared sets become what they were without a user's reports. `files` deletes recordings.

        Raises RequestError for what is no number, and what `files` raises: then nothing is
        forgotten.
        """
        forgetting, now = self._store.forgetting, self._clock()
        name = self._sources.number(name) if whose is Whose.NUMBER else name
        about = about_person(self._store, whose.value, name)
        match whose:
            case Whose.USER:
                done = forgetting.user(name, self._judge, now, files)
            case Whose.NUMBER:
                done = forgetting.number(name, now, files)
            case Whose.VOICE:
                done = forgetting.voice(name, now, files)
        note_forgotten(self._store, "screening.forget", about, done.calls)
        return done

    def tidy(self) -> Tidied:
        """Delete what has expired, so that devices hear of it, and changes that they are not told
        any more; to be run now and then, by any number of replicas."""
        now, config = self._clock(), self._config
        kept = timedelta(days=config.distribution.keep_versions_days)
        return Tidied(
            numbers=self._store.numbers.expire(now),
            voices=self._store.voices.expire(now),
            reports=self._store.reports.expire(now - timedelta(days=config.reports.keep_days)),
            changes=self._store.changes.prune(now - kept),
        )

    def _report(
        self,
        kind: str,
        key: str,
        person: str,
        category: str,
        device: str,
        call_id: str,
        source: str,
    ) -> Reported:
        report = Report(
            report_id=uuid.uuid4().hex,
            kind=kind,
            key=self._key(kind, key),
            reporter=person,
            device=device,
            category=category,
            standing=self._standing(category),
            source=source,
            call_id=call_id,
            at=self._clock(),
        )
        most = self._config.reports.per_day
        try:
            return Reported(report, self._store.reports.add(report, self._judge, most))
        except TooManyReportsError:
            raise RequestError(
                "report.too_many",
                f"{most} reports were taken from you in the last 24 hours",
                status=429,
                fix="report again tomorrow; your own sets take every entry at once",
                retry_after_s=_DAY_S,
            ) from None

    def _key(self, kind: str, key: str) -> str:
        if kind == NUMBERS:
            return self._sources.number(key)
        if kind == VOICES and key:
            return key
        raise RequestError(
            "report.kind",
            f"kind '{kind}' with an empty key" if kind == VOICES else f"there is no kind '{kind}'",
            field="kind",
            fix=f"'{NUMBERS}' with a number, or '{VOICES}' with a voice's id",
        )

    def _standing(self, category: str) -> Standing:
        standings = self._config.policy.categories
        if category not in standings:
            raise RequestError(
                "category.unknown",
                f"there is no category '{category}'",
                field="category",
                fix=f"one of {', '.join(standings)}",
            )
        return Standing(standings[category])
