"""What schema a database has, and how to change it by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persona_ray.errors import StoreError
from persona_ray.store.database import connected
from persona_ray.store.dump import count_rows
from persona_ray.store.migrating import EMPTY, Schema, tables_at
from persona_ray.store.urls import expand_url, printable_url


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """`shown` is the store's URL without its password; `tables` their rows."""

    shown: str
    revision: str
    tables: dict[str, int]


def schema_of(url: str) -> SchemaStatus:
    """Raises StoreError for a database that cannot be reached, or is of a newer release. A file of
    SQLite that is not there is not made."""
    parsed = expand_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).exists():
        return SchemaStatus(printable_url(parsed), EMPTY, {})
    with connected(url) as database:
        found = count_rows(database)
        return SchemaStatus(str(database), found.revision, found.tables)


def upgrade(url: str) -> tuple[str, str]:
    """To this release's schema; the revisions before and after. Raises StoreError."""
    schema = Schema()
    with connected(url) as database, database.exclusive() as connection:
        before = schema.current(connection, str(database))
        if before != schema.head:
            schema.upgrade(connection)
        return before, schema.head


def lost_by(url: str, revision: str) -> dict[str, int]:
    """Rows of tables that `revision` does not know: a downgrade would give them up. Nothing is
    changed. Raises StoreError for a revision that is not known, or not older."""
    schema = Schema()
    schema.check(revision)
    with connected(url) as database:
        before = count_rows(database)
        order = [*schema.revisions]
        if before.revision not in order or order.index(before.revision) < order.index(revision):
            raise StoreError(f"store {database} is at schema {before.revision}, before {revision}")
    known = tables_at(revision)
    return {name: n for name, n in before.tables.items() if n and name not in known}


def downgrade(url: str, revision: str) -> None:
    """To an older schema, in one transaction. Raises StoreError as `lost_by`."""
    lost_by(url, revision)
    with connected(url) as database, database.exclusive() as connection:
        Schema().downgrade(connection, revision)
