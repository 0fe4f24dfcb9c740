"""Voice libraries."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "screening_voices",
        sa.Column("voice_id", sa.String(), nullable=False),
        sa.Column("engine", sa.String(), nullable=False),
        sa.Column("voiceprint", sa.LargeBinary(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("category", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("near", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("voice_id", name="pk_screening_voices"),
    )
    op.create_index("ix_screening_voices_state", "screening_voices", ["state"])
    op.create_index("ix_screening_voices_expires_at", "screening_voices", ["expires_at"])
    op.create_table(
        "screening_voice_samples",
        sa.Column("voice_id", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("voiceprint", sa.LargeBinary(), nullable=False),
        sa.Column("speech_s", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("voice_id", "call_id", name="pk_screening_voice_samples"),
        sa.ForeignKeyConstraint(
            ["voice_id"],
            ["screening_voices.voice_id"],
            name="fk_screening_voice_samples_voice_id_screening_voices",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_screening_voice_samples_call_id", "screening_voice_samples", ["call_id"])


def downgrade() -> None:
    op.drop_table("screening_voice_samples")
    op.drop_table("screening_voices")
