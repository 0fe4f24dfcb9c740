"""Screened calls, notices of them, their deliveries, corrections and settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "screened_calls",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("source", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("sound", sa.JSON(), nullable=False),
        sa.Column("checkpoint", sa.JSON(), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("recording", sa.String(), nullable=False),
        sa.Column("alive_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", "call_id", name="pk_screened_calls"),
        sa.UniqueConstraint("ref", name="uq_screened_calls_ref"),
    )
    op.create_index("ix_screened_calls_user_id_at", "screened_calls", ["user_id", "at"])
    for column in ("number", "at", "alive_at", "ended_at"):
        op.create_index(f"ix_screened_calls_{column}", "screened_calls", [column])
    op.create_table(
        "screening_corrections",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _of_call("screening_corrections"),
        sa.PrimaryKeyConstraint("id", name="pk_screening_corrections"),
    )
    op.create_index(
        "ix_screening_corrections_user_id_call_id", "screening_corrections", ["user_id", "call_id"]
    )
    op.create_table(
        "screening_notices",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        _of_call("screening_notices"),
        sa.PrimaryKeyConstraint("id", name="pk_screening_notices"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_screening_notices_user_id_id", "screening_notices", ["user_id", "id"])
    op.create_table(
        "screening_deliveries",
        sa.Column("notice_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("said", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["notice_id"],
            ["screening_notices.id"],
            name="fk_screening_deliveries_notice_id_screening_notices",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("notice_id", "url", name="pk_screening_deliveries"),
    )
    op.create_index(
        "ix_screening_deliveries_state_due_at", "screening_deliveries", ["state", "due_at"]
    )
    op.create_table(
        "screening_settings",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("wanted", sa.JSON(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_screening_settings"),
    )


def _of_call(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["user_id", "call_id"],
        ["screened_calls.user_id", "screened_calls.call_id"],
        name=f"fk_{table}_user_id_screened_calls",
        ondelete="CASCADE",
    )


def downgrade() -> None:
    for table in (
        "screening_settings",
        "screening_deliveries",
        "screening_notices",
        "screening_corrections",
        "screened_calls",
    ):
        op.drop_table(table)
