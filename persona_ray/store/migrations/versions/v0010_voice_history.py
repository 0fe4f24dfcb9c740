"""What was done to the voices of the libraries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "screening_voice_history",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("voice_id", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("entry", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_screening_voice_history"),
    )
    op.create_index("ix_screening_voice_history_voice_id", "screening_voice_history", ["voice_id"])


def downgrade() -> None:
    op.drop_table("screening_voice_history")
