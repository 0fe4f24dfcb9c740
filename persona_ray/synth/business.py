"""The business database of an archive: what a call centre's own system would hold."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

from persona_ray.files import draft
from persona_ray.synth.dialogue import ArchivePlan

_SCHEMA = """
CREATE TABLE customers (
    customer_id TEXT PRIMARY KEY, name TEXT NOT NULL, sex TEXT NOT NULL, age_band TEXT NOT NULL,
    occupation TEXT NOT NULL, city TEXT NOT NULL, product_held TEXT NOT NULL,
    complaint_count INTEGER NOT NULL);
CREATE TABLE agents (agent_id TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE calls (
    call_id TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    agent_id TEXT NOT NULL REFERENCES agents,
    audio_uri TEXT NOT NULL,
    started_at TEXT NOT NULL,
    scene TEXT NOT NULL,
    customer_channel INTEGER NOT NULL,
    channels INTEGER NOT NULL,
    duration_s REAL NOT NULL);
CREATE TABLE transcripts (
    call_id TEXT NOT NULL REFERENCES calls,
    channel INTEGER NOT NULL,
    words TEXT NOT NULL,
    PRIMARY KEY (call_id, channel));
"""


def write_business_database(
    path: Path,
    plan: ArchivePlan,
    audio_uris: Mapping[str, str],
    durations_s: Mapping[str, float],
    customer_channel: int,
) -> None:
    """Writes a new SQLite file; `audio_uris` and `durations_s` by call. Transcripts stay empty."""
    with (
        draft(path) as file,
        closing(sqlite3.connect(file)) as connection,
        connection,
    ):
        connection.executescript(_SCHEMA)
        _fill(connection, "customers", [
            (c.customer_id, *(c.facts[key] for key in (
                "name", "sex", "age_band", "occupation", "city", "product_held",
                "complaint_count")))
            for c in plan.customers
        ])  # fmt: skip
        _fill(connection, "agents", [(a.agent_id, a.name) for a in plan.agents])
        _fill(connection, "calls", [
            (c.call_id, c.customer.customer_id, c.agent.agent_id, audio_uris[c.call_id],
             c.started_at.isoformat(), c.scene, customer_channel, 2, durations_s[c.call_id])
            for c in plan.calls
        ])  # fmt: skip


def _fill(
    connection: sqlite3.Connection, table: str, rows: Sequence[tuple[str | int | float, ...]]
) -> None:
    marks = ", ".join("?" * len(rows[0]))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
