"""The call archive: calls of the business database, page by page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    Select,
    String,
    cast,
    column,
    distinct,
    false,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.exc import SQLAlchemyError

from persona_ray.corpus.database import BusinessDatabase
from persona_ray.corpus.records import BadRow
from persona_ray.corpus.rows import REQUIRED_COLUMNS, Row, call_from_rows, row_key
from persona_ray.errors import ArchiveError, MissingColumnError, QueryError
from persona_ray.store.urls import expand_url

if TYPE_CHECKING:
    from sqlalchemy import Subquery

    from persona_ray.config.corpus import ArchiveConfig
    from persona_ray.types import CallRecord


@dataclass(frozen=True, slots=True)
class Page:
    """The calls from `first` to `last` in the order of the database, `calls` of them.

    Keys are as the database has them (text, integer, UUID, ...). A page with `first` None holds
    the rows without call id.
    """

    first: Any
    last: Any
    calls: int


class CallArchive:
    """Calls read through the configured query, which stands as a subquery.

    Pages are found by their last key, never by an offset: the memory needed does not grow with
    the archive, and calls added meanwhile shift nothing. Pickles, without open connections.
    """

    def __init__(self, config: ArchiveConfig, transcripts: bool = True) -> None:
        """`transcripts` false: do not look at the archive's own transcripts.

        Raises ConfigError for a URL that is none or needs a variable that is not set.
        """
        self._database = BusinessDatabase(expand_url(config.url, "archive.url"))
        self._query = _without_binds(config.query)
        self._page_size = config.page_size
        self._transcripts = transcripts

    def check(self) -> int:
        """The number of calls; each row without call id counts as one.

        Raises ArchiveError (no connection), QueryError (the query fails) or MissingColumnError.
        """
        calls = self._calls()
        with self._database.connect() as connection:
            self._check_columns(connection)
            named = self._number(connection, select(func.count(distinct(calls.c.call_id))))
            return named + self._nameless(connection)

    def pages(self) -> Iterator[Page]:
        """Pages of `page_size` calls in the order of call ids, rows without call id first.

        Raises what `check` raises.
        """
        with self._database.connect() as connection:
            self._check_columns(connection)
            count = self._nameless(connection)
        if count:
            yield Page(None, None, count)
        last: Any = None
        while True:
            keys = self._next_keys(last)
            if not keys:
                return
            yield Page(keys[0], keys[-1], len(keys))
            last = keys[-1]

    def read(self, page: Page) -> Iterator[CallRecord | BadRow]:
        """The calls of one page, one row of the database at a time."""
        calls = self._calls()
        whole: Select[Any] = select(literal_column("*")).select_from(calls)
        with self._database.connect() as connection:
            if page.first is None:
                rows = self._run(connection, whole.where(calls.c.call_id.is_(None)))
                groups: Iterable[Sequence[Row]] = ([row] for row in rows)
            else:
                inside = (calls.c.call_id >= page.first) & (calls.c.call_id <= page.last)
                ordered = whole.where(inside).order_by(calls.c.call_id)
                groups = _grouped(self._run(connection, ordered))
            for group in groups:
                yield call_from_rows(group, self._transcripts)

    def get(self, call_id: str) -> CallRecord | BadRow:
        """One call by its id. ArchiveError where the archive has no such call."""
        calls = self._calls()
        # As text on both sides: the column may be a number or a UUID.
        same = cast(calls.c.call_id, String(255)) == call_id
        with self._database.connect() as connection:
            self._check_columns(connection)
            whole: Select[Any] = select(literal_column("*")).select_from(calls).where(same)
            rows = list(self._run(connection, whole))
        if not rows:
            raise ArchiveError(f"the archive {self._database} has no call '{call_id}'")
        return call_from_rows(rows, self._transcripts)

    def _calls(self) -> Subquery:
        """The configured query as a table."""
        return text(self._query).columns(column("call_id")).subquery("calls_of_archive")

    def _next_keys(self, last: Any) -> list[Any]:
        key = self._calls().c.call_id
        after = key.is_not(None) if last is None else key > last
        statement = select(key).where(after).group_by(key).order_by(key).limit(self._page_size)
        with self._database.connect() as connection:
            return [row["call_id"] for row in self._run(connection, statement)]

    def _check_columns(self, connection: Connection) -> None:
        # Not through the table above, whose call_id may be the column that is missing.
        bare = text(self._query).columns().subquery("calls_of_archive")
        statement: Select[Any] = select(literal_column("*")).select_from(bare).where(false())
        try:
            present = [name.lower() for name in connection.execute(statement).keys()]  # noqa: SIM118
        except SQLAlchemyError as error:
            raise self._failed(error) from None
        missing = [name for name in REQUIRED_COLUMNS if name not in present]
        if missing:
            raise MissingColumnError(
                f"archive.query gives no column {', '.join(missing)}; it gives "
                f"{', '.join(present)}: name the columns with AS"
            )

    def _nameless(self, connection: Connection) -> int:
        calls = self._calls()
        nulls = select(func.count()).select_from(calls).where(calls.c.call_id.is_(None))
        return self._number(connection, nulls)

    def _number(self, connection: Connection, statement: Select[Any]) -> int:
        try:
            return int(connection.execute(statement).scalar_one())
        except SQLAlchemyError as error:
            raise self._failed(error) from None

    def _run(self, connection: Connection, statement: Select[Any]) -> Iterator[Row]:
        """Rows with lower-case keys, fetched as they are consumed."""
        try:
            result = connection.execution_options(yield_per=1000).execute(statement)
            names = [name.lower() for name in result.keys()]  # noqa: SIM118
            for row in result:
                yield dict(zip(names, row, strict=True))
        except SQLAlchemyError as error:
            raise self._failed(error) from None

    def _failed(self, error: SQLAlchemyError) -> QueryError:
        return QueryError(
            f"archive.query fails on {self._database}: {self._database.explain(error)}"
        )


def _grouped(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows that follow each other with the same call id."""
    group: list[Row] = []
    for row in rows:
        if group and row_key(row) != row_key(group[0]):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _without_binds(query: str) -> str:
    """The query as it is: `:name` inside it is no parameter, and a closing semicolon goes."""
    return re.sub(r"(?<![:\w\\]):(?=\w)", r"\\:", query.strip().rstrip(";").rstrip())
