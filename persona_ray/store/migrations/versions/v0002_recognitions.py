"""Colours of the archive's calls and customers, by model."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "recognition_models",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_recognition_models"),
    )
    op.create_table(
        "call_recognitions",
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        *_answer(),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "call_id", name="pk_call_recognitions"),
    )
    op.create_table(
        "customer_recognitions",
        sa.Column("fingerprint", sa.String(), nullable=False),
        *_answer(),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("calls_used", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", "customer_id", name="pk_customer_recognitions"),
    )
    for table in ("call_recognitions", "customer_recognitions"):
        op.create_index(f"ix_{table}_customer_id", table, ["customer_id"])


def downgrade() -> None:
    for table in ("customer_recognitions", "call_recognitions", "recognition_models"):
        op.drop_table(table)


def _answer() -> list[sa.Column[object]]:
    """New ones for each table: a column belongs to one."""
    return [
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("primary_label", sa.String(), nullable=True),
        sa.Column("secondary_label", sa.String(), nullable=True),
        sa.Column("probabilities", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("clips", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("recognised_at", sa.DateTime(timezone=True), nullable=False),
    ]
