"""Assistance: script libraries, calls, events, suggestions, pushes, feedback, samples."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "assist_libraries",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        _time("made_at"),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_assist_libraries"),
    )
    _calls()
    _pushes()
    _feedback()
    op.create_table(
        "assist_retrainings",
        sa.Column("retraining_id", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        _time("started_at"),
        _time("ended_at", nullable=True),
        sa.Column("upto", sa.Integer(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("positives", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=False),
        sa.Column("made", sa.String(), nullable=False),
        sa.Column("judgement", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("retraining_id", name="pk_assist_retrainings"),
    )


def _calls() -> None:
    op.create_table(
        "assist_calls",
        *_call(),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("scene", sa.JSON(), nullable=False),
        sa.Column("sound", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("checkpoint", sa.JSON(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        _time("started_at"),
        _time("alive_at"),
        _time("ended_at", nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        _time("outcome_at", nullable=True),
        sa.PrimaryKeyConstraint("agent_id", "call_id", name="pk_assist_calls"),
    )
    for column in ("call_id", "customer_id", "started_at", "alive_at", "ended_at"):
        op.create_index(f"ix_assist_calls_{column}", "assist_calls", [column])
    op.create_table(
        "assist_events",
        _number("id"),
        *_call(),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        _time("at"),
        sa.Column("push_id", sa.String(), nullable=False),
        _time("expires_at", nullable=True),
        _of_call("assist_events"),
        sa.PrimaryKeyConstraint("id", name="pk_assist_events"),
        sa.UniqueConstraint(
            "agent_id", "call_id", "seq", name="uq_assist_events_agent_id_call_id_seq"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_assist_events_agent_id_id", "assist_events", ["agent_id", "id"])
    op.create_table(
        "assist_suggestions",
        _number("id"),
        *_call(),
        sa.Column("turn", sa.Integer(), nullable=False),
        _time("at"),
        sa.Column("product", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("library", sa.String(), nullable=False),
        sa.Column("ranker", sa.String(), nullable=False),
        sa.Column("context", sa.JSON(), nullable=False),
        sa.Column("candidates", sa.JSON(), nullable=False),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("chosen", sa.String(), nullable=False),
        sa.Column("explored", sa.Boolean(), nullable=False),
        _of_call("assist_suggestions"),
        sa.PrimaryKeyConstraint("id", name="pk_assist_suggestions"),
        sa.UniqueConstraint(
            "agent_id", "call_id", "turn", name="uq_assist_suggestions_agent_id_call_id_turn"
        ),
    )
    for column in ("reason", "library"):
        op.create_index(f"ix_assist_suggestions_{column}_at", "assist_suggestions", [column, "at"])


def _pushes() -> None:
    op.create_table(
        "assist_pushes",
        sa.Column("push_id", sa.String(), nullable=False),
        *_call(),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("scripts", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        _time("made_at"),
        _time("expires_at"),
        _time("sent_at", nullable=True),
        _time("seen_at", nullable=True),
        _time("late_at", nullable=True),
        _time("failed_at", nullable=True),
        _of_call("assist_pushes"),
        sa.PrimaryKeyConstraint("push_id", name="pk_assist_pushes"),
    )
    op.create_index("ix_assist_pushes_agent_id_call_id", "assist_pushes", ["agent_id", "call_id"])
    op.create_index("ix_assist_pushes_state_expires_at", "assist_pushes", ["state", "expires_at"])


def _feedback() -> None:
    op.create_table(
        "assist_feedback",
        sa.Column("push_id", sa.String(), nullable=False),
        *_given(),
        _of_push("assist_feedback"),
        sa.PrimaryKeyConstraint("push_id", name="pk_assist_feedback"),
    )
    op.create_index("ix_assist_feedback_at", "assist_feedback", ["at"])
    op.create_table(
        "assist_feedback_history",
        _number("id"),
        sa.Column("push_id", sa.String(), nullable=False),
        *_given(),
        _of_push("assist_feedback_history"),
        sa.PrimaryKeyConstraint("id", name="pk_assist_feedback_history"),
    )
    op.create_index("ix_assist_feedback_history_push_id", "assist_feedback_history", ["push_id"])
    op.create_table(
        "assist_samples",
        _number("number"),
        sa.Column("push_id", sa.String(), nullable=False),
        sa.Column("script_id", sa.String(), nullable=False),
        sa.Column("positive", sa.Boolean(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        _time("at"),
        sa.Column("used_by", sa.String(), nullable=False),
        _of_push("assist_samples"),
        sa.PrimaryKeyConstraint("number", name="pk_assist_samples"),
        sa.UniqueConstraint("push_id", name="uq_assist_samples_push_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_assist_samples_used_by", "assist_samples", ["used_by"])


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), autoincrement=True, nullable=False)


def _call() -> tuple[sa.Column[str], ...]:
    return tuple(sa.Column(name, sa.String(), nullable=False) for name in ("agent_id", "call_id"))


def _given() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("script_id", sa.String(), nullable=False),
        sa.Column("rating", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        _time("at"),
    )


def _of_call(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["agent_id", "call_id"],
        ["assist_calls.agent_id", "assist_calls.call_id"],
        name=f"fk_{table}_agent_id_assist_calls",
        ondelete="CASCADE",
    )


def _of_push(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["push_id"],
        ["assist_pushes.push_id"],
        name=f"fk_{table}_push_id_assist_pushes",
        ondelete="CASCADE",
    )


def downgrade() -> None:
    for table in (
        "assist_retrainings",
        "assist_samples",
        "assist_feedback_history",
        "assist_feedback",
        "assist_pushes",
        "assist_suggestions",
        "assist_events",
        "assist_calls",
        "assist_libraries",
    ):
        op.drop_table(table)
