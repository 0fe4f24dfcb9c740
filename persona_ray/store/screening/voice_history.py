"""What was done to the voices of the libraries: by whom, why, when, and what each was then.

A voiceprint is never in it. Calls that join a voice without a change of what it is said to be are
not told of. It stays when the voice goes, and is deleted where the person is forgotten.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from persona_ray.store.database import affected
from persona_ray.store.screening.records import Action, HistoryItem
from persona_ray.store.screening.voice_tables import VoiceHistoryRow, VoiceRow

# Who acts where nobody says so, as in the history of numbers.
_ACTORS = {"call": "verdict"}


def told(row: VoiceRow) -> dict[str, Any]:
    """What a voice is said to be."""
    return {
        "standing": row.standing,
        "category": row.category,
        "origin": row.origin,
        "state": row.state,
        "expires_at": None if row.expires_at is None else row.expires_at.isoformat(),
    }


def note(
    session: Session,
    row: VoiceRow,
    action: Action,
    now: datetime,
    actor: str = "",
    reason: str = "",
) -> None:
    """Add a line, in the caller's transaction. Without an actor it is where the entry is from."""
    gone = action in (Action.REMOVED, Action.EXPIRED)
    session.add(
        VoiceHistoryRow(
            voice_id=row.voice_id,
            at=now,
            actor=actor or _ACTORS.get(row.origin, row.origin),
            action=action,
            reason=reason,
            entry=None if gone else told(row),
        )
    )


def read(session: Session, voice_id: str) -> list[HistoryItem]:
    """Oldest first."""
    row = VoiceHistoryRow
    query = select(row).where(row.voice_id == voice_id).order_by(row.id)
    return [
        HistoryItem(one.at, one.actor, Action(one.action), one.reason, one.entry)
        for one in session.scalars(query)
    ]


def forget(session: Session, voice_id: str) -> int:
    """Delete it, in the caller's transaction; rows deleted."""
    mine = delete(VoiceHistoryRow).where(VoiceHistoryRow.voice_id == voice_id)
    return affected(session.execute(mine))
