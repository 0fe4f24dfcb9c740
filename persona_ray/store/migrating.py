"""The schema of a database: which revision it is at, and the way to another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect

from persona_ray.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"
# Of a database that holds no table of ours.
EMPTY = "base"
# Alembic's own.
_REVISION_TABLE = "alembic_version"


class Schema:
    """The revisions that this release knows, oldest first, and moves between them."""

    def __init__(self) -> None:
        self._config = Config()
        self._config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        scripts = ScriptDirectory.from_config(self._config).walk_revisions()
        self.revisions: Sequence[str] = [script.revision for script in scripts][::-1]

    @property
    def head(self) -> str:
        """What this release works with."""
        return self.revisions[-1]

    def current(self, connection: Connection, shown: str) -> str:
        """The revision that the database is at, EMPTY where it has none. Raises StoreError (naming
        the store as `shown`) for one that is of a newer release."""
        found = MigrationContext.configure(connection).get_current_revision()
        if found is None:
            return EMPTY
        if found not in self.revisions:
            raise StoreError(
                f"store {shown} is at revision '{found}', made by a newer release: "
                "upgrade persona-ray, or name another store.url"
            )
        return found

    def check(self, revision: str) -> None:
        """Raises StoreError for a revision that is not known."""
        if revision not in (EMPTY, *self.revisions):
            raise StoreError(
                f"there is no revision '{revision}': there are {', '.join(self.revisions)}"
            )

    def upgrade(self, connection: Connection, revision: str = "") -> None:
        """Within the transaction of `connection`; empty: to the head."""
        self._config.attributes["connection"] = connection
        command.upgrade(self._config, revision or self.head)

    def downgrade(self, connection: Connection, revision: str) -> None:
        """Within the transaction of `connection`. What only later revisions know is lost."""
        self._config.attributes["connection"] = connection
        command.downgrade(self._config, revision)


@cache
def tables_at(revision: str) -> frozenset[str]:
    """Names of the tables of a revision: whatever else lies in a database is not ours."""
    if revision == EMPTY:
        return frozenset()
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        Schema().upgrade(connection, revision)
        found = inspect(connection).get_table_names()
    engine.dispose()
    return frozenset(found) - {_REVISION_TABLE}
