"""Versions of script libraries. What a suggestion names stays as it was."""

from __future__ import annotations

from sqlalchemy import select, update

from persona_ray.store.assist.records import (
    LibraryExistsError,
    StoredLibrary,
    UnknownLibraryError,
)
from persona_ray.store.assist.tables import ScriptLibraryRow
from persona_ray.store.database import Database


class ScriptLibraryRepository:
    """Libraries by name and version."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, library: StoredLibrary) -> bool:
        """Keep a version; whether it is new. `current` makes it the one that calls begin with.

        Raises LibraryExistsError where the version has another content.
        """
        with self._database.write() as session:
            row = session.get(ScriptLibraryRow, (library.name, library.version))
            new = row is None
            if row is not None and row.digest != library.digest:
                raise LibraryExistsError(f"{library.name} {library.version}")
            if row is None:
                row = ScriptLibraryRow(
                    name=library.name,
                    version=library.version,
                    digest=library.digest,
                    content=dict(library.content),
                    made_at=library.made_at,
                    made_by=library.made_by,
                    current=False,
                )
                session.add(row)
                session.flush()
            if library.current:
                session.execute(update(ScriptLibraryRow).values(current=False))
                row.current = True
            return new

    def make_current(self, name: str, version: str) -> None:
        """From now on calls begin with this version. Raises UnknownLibraryError."""
        with self._database.write() as session:
            row = session.get(ScriptLibraryRow, (name, version))
            if row is None:
                raise UnknownLibraryError(f"{name} {version}")
            session.execute(update(ScriptLibraryRow).values(current=False))
            row.current = True

    def current(self) -> StoredLibrary | None:
        """The version that calls begin with; None: none was chosen."""
        query = select(ScriptLibraryRow).where(ScriptLibraryRow.current)
        with self._database.read() as session:
            row = session.scalar(query)
            return None if row is None else _record(row)

    def current_digest(self) -> str:
        """The content's digest alone, for whoever looks often; empty where none was chosen."""
        query = select(ScriptLibraryRow.digest).where(ScriptLibraryRow.current)
        with self._database.read() as session:
            return session.scalar(query) or ""

    def get(self, name: str, version: str) -> StoredLibrary:
        """Raises UnknownLibraryError."""
        with self._database.read() as session:
            row = session.get(ScriptLibraryRow, (name, version))
            if row is None:
                raise UnknownLibraryError(f"{name} {version}")
            return _record(row)

    def versions(self) -> list[StoredLibrary]:
        """All, the latest first."""
        query = select(ScriptLibraryRow).order_by(
            ScriptLibraryRow.made_at.desc(), ScriptLibraryRow.name, ScriptLibraryRow.version
        )
        with self._database.read() as session:
            return [_record(row) for row in session.scalars(query)]


def _record(row: ScriptLibraryRow) -> StoredLibrary:
    return StoredLibrary(
        name=row.name,
        version=row.version,
        digest=row.digest,
        content=dict(row.content),
        made_at=row.made_at,
        made_by=row.made_by,
        current=row.current,
    )
