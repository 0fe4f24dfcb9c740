"""What the corpus job recognised, handed back to a database, so that it is recognised once."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sqlalchemy import Column, Integer, MetaData, String, Table, Text, create_engine, delete, insert
from sqlalchemy.exc import SQLAlchemyError

from persona_ray.corpus.records import CallOutcome
from persona_ray.corpus.tables import word_rows
from persona_ray.errors import ArchiveError
from persona_ray.store.urls import expand_url, printable_url, reason_of

_TABLE = Table(
    "transcripts",
    MetaData(),
    Column("call_id", String, primary_key=True),
    Column("channel", Integer, primary_key=True),
    Column("words", Text, nullable=False),
)


def write_transcripts(url: str, calls: Iterable[CallOutcome]) -> int:
    """Put the words of `calls` into the table `transcripts` (call_id, channel, words as JSON) of
    the database at `url`; the number of transcripts written.

    The table is made where it is missing; a call's earlier transcript of that channel is replaced.
    The default query of `archive` reads it. Raises ArchiveError.
    """
    location = expand_url(url, "--url")
    engine = create_engine(location)
    written = 0
    try:
        with engine.begin() as connection:
            _TABLE.create(connection, checkfirst=True)
            for call in calls:
                if not call.words:
                    continue
                mine = (_TABLE.c.call_id == call.call_id) & (_TABLE.c.channel == call.channel)
                connection.execute(delete(_TABLE).where(mine))
                words = json.dumps(word_rows(call.words), ensure_ascii=False)
                row = {"call_id": call.call_id, "channel": call.channel, "words": words}
                connection.execute(insert(_TABLE), row)
                written += 1
    except SQLAlchemyError as error:
        raise ArchiveError(
            f"transcripts cannot be written to {printable_url(location)}: "
            f"{reason_of(error, location)}"
        ) from None
    finally:
        engine.dispose()
    return written
