"""Screening: sets of numbers, reports, appeals, and the log of what changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _log()
    _numbers()
    _reports()


def downgrade() -> None:
    for table in (
        "screening_outcomes",
        "screening_reporters",
        "screening_reports",
        "screening_appeals",
        "screening_number_history",
        "screening_numbers",
        "screening_changes",
        "screening_streams",
    ):
        op.drop_table(table)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.String(), nullable=False) for name in names]


def _log() -> None:
    op.create_table(
        "screening_streams",
        *_text("kind", "owner"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("floor", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "owner", name="pk_screening_streams"),
    )
    op.create_table(
        "screening_changes",
        *_text("kind", "owner"),
        sa.Column("sequence", sa.Integer(), nullable=False),
        *_text("key", "what"),
        sa.Column("payload", sa.JSON(), nullable=True),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("kind", "owner", "sequence", name="pk_screening_changes"),
    )
    _index("screening_changes", "kind", "owner", "key", "sequence")
    _index("screening_changes", "at")


def _numbers() -> None:
    op.create_table(
        "screening_numbers",
        *_text("owner", "number", "standing", "category", "name", "origin"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires_at", _TIME, nullable=True),
        sa.Column("listed_at", _TIME, nullable=False),
        sa.Column("changed_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("owner", "number", name="pk_screening_numbers"),
    )
    _index("screening_numbers", "expires_at")
    _index("screening_numbers", "origin")
    op.create_table(
        "screening_number_history",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *_text("owner", "number"),
        sa.Column("at", _TIME, nullable=False),
        *_text("actor", "action"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("entry", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_screening_number_history"),
    )
    _index("screening_number_history", "owner", "number")
    _index("screening_number_history", "number")
    op.create_table(
        "screening_appeals",
        *_text("appeal_id", "kind", "key", "appellant"),
        sa.Column("text", sa.Text(), nullable=False),
        *_text("state"),
        sa.Column("made_at", _TIME, nullable=False),
        sa.Column("decided_at", _TIME, nullable=True),
        *_text("decided_by"),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("appeal_id", name="pk_screening_appeals"),
    )
    _index("screening_appeals", "kind", "key")
    _index("screening_appeals", "state")


def _reports() -> None:
    op.create_table(
        "screening_reports",
        *_text("report_id", "kind", "key", "reporter", "device", "category", "standing"),
        *_text("source", "call_id"),
        sa.Column("at", _TIME, nullable=False),
        sa.Column("retracted_at", _TIME, nullable=True),
        *_text("settled"),
        sa.PrimaryKeyConstraint("report_id", name="pk_screening_reports"),
    )
    _index("screening_reports", "kind", "key")
    _index("screening_reports", "reporter")
    _index("screening_reports", "at")
    op.create_table(
        "screening_reporters",
        *_text("reporter"),
        sa.Column("since", _TIME, nullable=False),
        sa.Column("agreed", sa.Integer(), nullable=False),
        sa.Column("contradicted", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("reporter", name="pk_screening_reporters"),
    )
    op.create_table(
        "screening_outcomes",
        *_text("kind", "key", "standing", "category", "actor"),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key", name="pk_screening_outcomes"),
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
