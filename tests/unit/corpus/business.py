"""Small business databases for tests, on any SQLAlchemy URL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import URL, create_engine, make_url, text

TABLES = (
    "CREATE TABLE customers (customer_id TEXT, name TEXT, sex TEXT, age_band TEXT, "
    "occupation TEXT, city TEXT, product_held TEXT, complaint_count INTEGER)",
    "CREATE TABLE calls (call_id TEXT, customer_id TEXT, agent_id TEXT, audio_uri TEXT, "
    "started_at TEXT, scene TEXT, customer_channel TEXT, channels INTEGER, duration_s REAL)",
    "CREATE TABLE transcripts (call_id TEXT, channel INTEGER, words TEXT)",
)


def words_json(words: Sequence[tuple[str, float, float]]) -> str:
    """The JSON that the archive keeps a transcript in."""
    named = [{"text": word, "start_s": start, "end_s": end} for word, start, end in words]
    return json.dumps(named, ensure_ascii=False)


def call_row(call_id: str | None, **changes: Any) -> dict[str, Any]:
    """A sound row of `calls`, with `changes`."""
    row = {
        "call_id": call_id,
        "customer_id": "customer-1",
        "agent_id": "agent-1",
        "audio_uri": f"audio/{call_id}.wav",
        "started_at": "2025-03-01T10:00:00",
        "scene": "fund",
        "customer_channel": "1",
        "channels": 2,
        "duration_s": None,
    }
    return row | changes


def fill(
    url: str | URL,
    calls: Sequence[Mapping[str, Any]],
    transcripts: Sequence[tuple[str | None, int | None, str]] = (),
    customers: Sequence[str] = ("customer-1",),
) -> None:
    """Make the tables where they are missing and add rows."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    engine = create_engine(parsed)
    with engine.begin() as connection:
        for statement in TABLES:
            connection.execute(text(statement.replace("TABLE ", "TABLE IF NOT EXISTS ", 1)))
        for customer in customers:
            connection.execute(
                text(
                    "INSERT INTO customers VALUES (:id, '王女士', 'f', '30-39', 'teacher', '杭州',"
                    " NULL, 2)"
                ),
                {"id": customer},
            )
        for call in calls:
            names = ", ".join(call)
            values = ", ".join(f":{name}" for name in call)
            connection.execute(text(f"INSERT INTO calls ({names}) VALUES ({values})"), dict(call))
        for call_id, channel, words in transcripts:
            connection.execute(
                text("INSERT INTO transcripts VALUES (:call_id, :channel, :words)"),
                {"call_id": call_id, "channel": channel, "words": words},
            )
    engine.dispose()
