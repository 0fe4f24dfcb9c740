"""How scripts are used, and what came of it: counts for their owner."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import case, func, select

from persona_ray.store.assist.tables import (
    AssistFeedbackRow,
    AssistPushRow,
    AssistSampleRow,
    AssistSuggestionRow,
)
from persona_ray.store.database import Database


@dataclass(frozen=True, slots=True)
class ScriptUse:
    """Of one script since a time. `chosen`: pushes that it was the large one of; `seen` of those
    stood on a screen. Then feedback that was about it, as the large one or a small one; `positive`
    of `judged` became samples above the threshold."""

    script_id: str
    chosen: int = 0
    seen: int = 0
    used: int = 0
    edited: int = 0
    dismissed: int = 0
    judged: int = 0
    positive: int = 0
    mean_score: float = 0.0


class ScriptUseRepository:
    """Counts over pushes and feedback."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def since(self, since: datetime) -> dict[str, ScriptUse]:
        """By script; those without a push are not there."""
        push, feedback, sample = AssistPushRow, AssistFeedbackRow, AssistSampleRow
        suggestion = AssistSuggestionRow
        of_turn = (
            (push.agent_id == suggestion.agent_id)
            & (push.call_id == suggestion.call_id)
            & (push.turn == suggestion.turn)
        )
        shown = (
            select(suggestion.chosen, func.count(), func.count(push.seen_at))
            .join(push, of_turn)
            .where(suggestion.at >= since)
            .group_by(suggestion.chosen)
        )

        def did(action: str) -> Any:
            return func.sum(case((feedback.action == action, 1), else_=0))

        said = (
            select(
                feedback.script_id,
                did("used"),
                did("edited"),
                did("dismissed"),
                func.count(sample.number),
                func.sum(case((sample.positive, 1), else_=0)),
                func.avg(feedback.score),
            )
            .join(push, push.push_id == feedback.push_id)
            .outerjoin(sample, sample.push_id == feedback.push_id)
            .where(push.made_at >= since, feedback.counted)
            .group_by(feedback.script_id)
        )
        with self._database.read() as session:
            pushed = {row[0]: (int(row[1]), int(row[2])) for row in session.execute(shown)}
            judged = {row[0]: row[1:] for row in session.execute(said)}
        return {
            script_id: _use(script_id, pushed.get(script_id, (0, 0)), judged.get(script_id))
            for script_id in sorted(pushed.keys() | judged.keys())
        }


def _use(script_id: str, pushed: tuple[int, int], judged: Any) -> ScriptUse:
    chosen, seen = pushed
    if judged is None:
        return ScriptUse(script_id, chosen, seen)
    used, edited, dismissed, samples, positive = (int(value or 0) for value in judged[:5])
    return ScriptUse(
        script_id,
        chosen,
        seen,
        used=used,
        edited=edited,
        dismissed=dismissed,
        judged=samples,
        positive=positive,
        mean_score=float(judged[5] or 0.0),
    )
