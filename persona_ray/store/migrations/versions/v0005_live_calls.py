"""What is settled of live calls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "live_calls",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("sound", sa.JSON(), nullable=False),
        sa.Column("checkpoint", sa.JSON(), nullable=False),
        sa.Column("results", sa.Integer(), nullable=False),
        sa.Column("ended", sa.Boolean(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("owner", "call_id", name="pk_live_calls"),
    )
    for column in ("call_id", "customer_id", "changed_at"):
        op.create_index(f"ix_live_calls_{column}", "live_calls", [column])
    op.create_table(
        "live_results",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["owner", "call_id"],
            ["live_calls.owner", "live_calls.call_id"],
            name="fk_live_results_owner_live_calls",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("owner", "call_id", "number", name="pk_live_results"),
    )


def downgrade() -> None:
    op.drop_table("live_results")
    op.drop_table("live_calls")
