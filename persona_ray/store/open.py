"""Opening the store: connect, migrate, hand out the repositories."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from persona_ray.config import RunConfig
from persona_ray.errors import StoreError
from persona_ray.store.annotations import AnnotationRepository
from persona_ray.store.assist.calls import AssistCallRepository
from persona_ray.store.assist.feedback import FeedbackRepository
from persona_ray.store.assist.libraries import ScriptLibraryRepository
from persona_ray.store.assist.pushes import PushRepository
from persona_ray.store.assist.samples import SampleRepository
from persona_ray.store.assist.script_use import ScriptUseRepository
from persona_ray.store.assist.suggestions import SuggestionRepository
from persona_ray.store.audit import AuditRepository
from persona_ray.store.audit_seal import AuditSeal
from persona_ray.store.database import Database, open_database
from persona_ray.store.jobs import JobRepository
from persona_ray.store.keys import KeyRepository
from persona_ray.store.live_calls import LiveCallRepository
from persona_ray.store.migrating import Schema
from persona_ray.store.recognitions import RecognitionRepository
from persona_ray.store.rollouts import RolloutRepository
from persona_ray.store.rounds import RoundRepository
from persona_ray.store.screening.appeals import AppealRepository
from persona_ray.store.screening.calls import ScreenedCallRepository
from persona_ray.store.screening.changes import NUMBERS, VOICES, ChangeRepository
from persona_ray.store.screening.corrections import CorrectionRepository
from persona_ray.store.screening.forgetting import ForgettingRepository
from persona_ray.store.screening.notices import NoticeRepository
from persona_ray.store.screening.numbers import NumberRepository
from persona_ray.store.screening.records import ReportedSet
from persona_ray.store.screening.reports import ReportRepository
from persona_ray.store.screening.rollback import RollbackRepository
from persona_ray.store.screening.sealed import SealedPrints
from persona_ray.store.screening.voice_shelf import VoiceShelf
from persona_ray.store.screening.voices import VoiceRepository
from persona_ray.store.splits import SplitRepository
from persona_ray.store.tables import Base
from persona_ray.vault.seal import PLAIN, Vault, vault_of


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Rows deleted for one customer."""

    annotations: int
    splits: int
    recognitions: int
    live_calls: int
    job_calls: int
    assist_calls: int


class Store:
    """The product's own database; one repository for each aggregate."""

    def __init__(
        self, database: Database, seal: AuditSeal | None = None, vault: Vault = PLAIN
    ) -> None:
        self._database = database
        self.audit = AuditRepository(database, seal)
        self.rounds = RoundRepository(database)
        self.annotations = AnnotationRepository(database)
        self.splits = SplitRepository(database)
        self.recognitions = RecognitionRepository(database)
        self.keys = KeyRepository(database)
        self.jobs = JobRepository(database)
        self.live_calls = LiveCallRepository(database)
        self.rollouts = RolloutRepository(database)
        self.screened_calls = ScreenedCallRepository(database)
        self.screening_notices = NoticeRepository(database)
        self.screening_corrections = CorrectionRepository(database)
        self.changes = ChangeRepository(database, vault)
        self.numbers = NumberRepository(database, self.changes)
        self.voices = VoiceRepository(database, self.changes, vault)
        self.voice_shelf = VoiceShelf(database)
        self.sealed_prints = SealedPrints(database, vault)
        # What reports may change.
        reported: dict[str, ReportedSet] = {NUMBERS: self.numbers, VOICES: self.voices}
        self.reports = ReportRepository(database, reported)
        self.screening_rollback = RollbackRepository(
            database, self.changes, self.numbers, self.voices, self.reports
        )
        self.appeals = AppealRepository(database, reported, self.reports)
        self.forgetting = ForgettingRepository(
            database, self.numbers, self.voices, self.reports, self.appeals
        )
        self.script_libraries = ScriptLibraryRepository(database)
        self.assist_calls = AssistCallRepository(database)
        self.suggestions = SuggestionRepository(database)
        self.pushes = PushRepository(database)
        self.feedback = FeedbackRepository(database)
        self.samples = SampleRepository(database)
        self.script_use = ScriptUseRepository(database)

    @property
    def url(self) -> str:
        """For messages: the password is hidden."""
        return str(self._database)

    def now(self) -> datetime:
        """The time for all who share the database (`Database.now`)."""
        return self._database.now()

    def calls_of(self, customer_id: str) -> set[str]:
        """Ids of a customer's calls, as far as any table tells them."""
        found: set[str] = set()
        with self._database.read() as session:
            for table in Base.metadata.tables.values():
                if {"customer_id", "call_id"} <= set(table.columns.keys()):
                    mine = table.c.customer_id == customer_id
                    found.update(session.scalars(select(table.c.call_id).where(mine).distinct()))
        return found - {None, ""}

    def count_older(self, table: str, column: str, before: datetime) -> int:
        """Rows of a table whose time in a column is before a time."""
        rows = Base.metadata.tables[table]
        query = select(func.count()).select_from(rows).where(rows.c[column] < before)
        with self._database.read() as session:
            return session.scalar(query) or 0

    def count_unnamed(self, table: str) -> int:
        """Rows of a table that could be a customer's, and name none."""
        rows = Base.metadata.tables[table]
        query = select(func.count()).select_from(rows).where(rows.c.customer_id == "")
        with self._database.read() as session:
            return session.scalar(query) or 0

    def customers(self) -> set[str]:
        """Ids of all customers that any table names."""
        found: set[str] = set()
        with self._database.read() as session:
            for table in Base.metadata.tables.values():
                if "customer_id" in table.columns:
                    found.update(session.scalars(select(table.c.customer_id).distinct()))
        return found - {None, ""}

    def forget_customer(
        self, customer_id: str, call_ids: Collection[str] = (), names: Collection[str] = ()
    ) -> Forgotten:
        """Delete everything kept about a customer, in one transaction.

        `call_ids` are the customer's calls: they find annotations that were imported before their
        call was in the corpus, when nobody could know whose they are. `names`: of files of the
        calls, by which they may have been sent in jobs.
        """
        with self._database.write() as session:
            forgotten = Forgotten(
                annotations=self.annotations.forget(session, customer_id, call_ids),
                splits=self.splits.forget(session, customer_id),
                recognitions=self.recognitions.forget(session, customer_id, call_ids),
                live_calls=self.live_calls.forget(session, customer_id, call_ids),
                job_calls=self.jobs.forget(session, {*call_ids, *names}),
                assist_calls=self.assist_calls.forget(session, customer_id, call_ids),
            )
        self._database.flush_deleted()
        return forgotten

    def forget_voice(self, voice_id: str, now: datetime) -> int:
        """Delete a person's voice from the libraries, in one transaction; rows deleted."""
        with self._database.write() as session:
            rows = self.voices.forget_voice(session, voice_id, now)
        self._database.flush_deleted()
        return rows

    def forget_voice_call(self, call_id: str, now: datetime) -> int:
        """Delete what one call added to the voice libraries, in one transaction; rows deleted."""
        with self._database.write() as session:
            rows = self.voices.forget_call(session, call_id, now)
        self._database.flush_deleted()
        return rows

    def write(self) -> AbstractContextManager[Session]:
        """One transaction over several repositories, for their methods that take a session."""
        return self._database.write()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_audited(config: RunConfig) -> Store:
    """The store of a configuration, for those whose doings stand in its audit log."""
    return open_store(config.store_url, AuditSeal.of(config), vault=vault_of(config))


def open_store(url: str, seal: AuditSeal | None = None, *, vault: Vault = PLAIN) -> Store:
    """Open the store at a SQLAlchemy URL and bring its tables up to date. `vault` seals and opens
    voiceprints; without it, one that is sealed raises VaultError when it is read.

    SQLite files are made with their folder; ${NAME} is taken from the environment. Safe to call
    from several processes at once. Raises ConfigError for a bad URL, StoreError for a database
    that cannot be reached, is damaged, or was made by a newer release.
    """
    database = open_database(url)
    try:
        _migrate(database)
    except StoreError:
        database.close()
        raise
    return Store(database, seal, vault)


def _migrate(database: Database) -> None:
    schema = Schema()
    with database.read() as session:
        if schema.current(session.connection(), str(database)) == schema.head:
            return
    with database.exclusive() as connection:
        # Another process may have migrated while this one waited for the lock.
        if schema.current(connection, str(database)) != schema.head:
            schema.upgrade(connection)
