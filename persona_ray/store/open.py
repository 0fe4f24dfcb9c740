"""Opening the store: connect, migrate, hand out the repositories."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.orm import Session

from persona_ray.errors import ConfigError, StoreError
from persona_ray.store.annotations import AnnotationRepository
from persona_ray.store.assist.calls import AssistCallRepository
from persona_ray.store.assist.feedback import FeedbackRepository
from persona_ray.store.assist.libraries import ScriptLibraryRepository
from persona_ray.store.assist.pushes import PushRepository
from persona_ray.store.assist.samples import SampleRepository
from persona_ray.store.assist.script_use import ScriptUseRepository
from persona_ray.store.assist.suggestions import SuggestionRepository
from persona_ray.store.database import Database
from persona_ray.store.jobs import JobRepository
from persona_ray.store.keys import KeyRepository
from persona_ray.store.live_calls import LiveCallRepository
from persona_ray.store.recognitions import RecognitionRepository
from persona_ray.store.rollouts import RolloutRepository
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
from persona_ray.store.screening.voice_shelf import VoiceShelf
from persona_ray.store.screening.voices import VoiceRepository
from persona_ray.store.splits import SplitRepository
from persona_ray.store.urls import expand_url, printable_url

MIGRATIONS = Path(__file__).parent / "migrations"


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

    def __init__(self, database: Database) -> None:
        self._database = database
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
        self.changes = ChangeRepository(database)
        self.numbers = NumberRepository(database, self.changes)
        self.voices = VoiceRepository(database, self.changes)
        self.voice_shelf = VoiceShelf(database)
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

    def forget_customer(self, customer_id: str, call_ids: Collection[str] = ()) -> Forgotten:
        """Delete everything kept about a customer, in one transaction.

        `call_ids` are the customer's calls: they find annotations that were imported before their
        call was in the corpus, when nobody could know whose they are.
        """
        with self._database.write() as session:
            forgotten = Forgotten(
                annotations=self.annotations.forget(session, customer_id, call_ids),
                splits=self.splits.forget(session, customer_id),
                recognitions=self.recognitions.forget(session, customer_id, call_ids),
                live_calls=self.live_calls.forget(session, customer_id, call_ids),
                job_calls=self.jobs.forget(session, call_ids),
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


def open_store(url: str) -> Store:
    """Open the store at a SQLAlchemy URL and bring its tables up to date.

    SQLite files are made with their folder; ${NAME} is taken from the environment. Safe to call
    from several processes at once. Raises ConfigError for a bad URL, StoreError for a database
    that cannot be reached, is damaged, or was made by a newer release.
    """
    parsed = expand_url(url)
    shown = printable_url(parsed)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ConfigError(f"store.url {shown}: the store is kept in sqlite or postgresql")
    try:
        database = Database(parsed)
    except OSError as error:
        raise StoreError(f"store {shown} cannot be made: {error}") from None
    try:
        _migrate(database)
    except StoreError:
        database.close()
        raise
    return Store(database)


def _migrate(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    scripts = ScriptDirectory.from_config(config)
    with database.read() as session:
        if _is_current(database, session.connection(), scripts):
            return
    with database.exclusive() as connection:
        # Another process may have migrated while this one waited for the lock.
        if not _is_current(database, connection, scripts):
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _is_current(database: Database, connection: Connection, scripts: ScriptDirectory) -> bool:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise StoreError(
            f"store {database} is at revision '{current}', made by a newer release: "
            "upgrade persona-ray, or name another store.url"
        )
    return current == scripts.get_current_head()
