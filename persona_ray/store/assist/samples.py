"""Samples to learn from, and the retrainings that did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, update

from persona_ray.store.assist.records import Retraining, RetrainingRunsError, Sample
from persona_ray.store.assist.tables import (
    AssistCallRow,
    AssistFeedbackRow,
    AssistPushRow,
    AssistRetrainingRow,
    AssistSampleRow,
    AssistSuggestionRow,
)
from persona_ray.store.database import Database


class SampleRepository:
    """Samples by number; each retraining once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, upto: int | None = None) -> list[Sample]:
        """In the order in which they came, up to number `upto`."""
        sample, push, call = AssistSampleRow, AssistPushRow, AssistCallRow
        suggestion, row = AssistSuggestionRow, AssistFeedbackRow
        query = (
            select(sample, push, call.customer_id, suggestion, row.text)
            .join(push, push.push_id == sample.push_id)
            .join(call, (call.agent_id == push.agent_id) & (call.call_id == push.call_id))
            .join(
                suggestion,
                (suggestion.agent_id == push.agent_id)
                & (suggestion.call_id == push.call_id)
                & (suggestion.turn == push.turn),
            )
            .join(row, row.push_id == sample.push_id)
            .order_by(sample.number)
        )
        if upto is not None:
            query = query.where(sample.number <= upto)
        with self._database.read() as session:
            return [_sample(*found) for found in session.execute(query).tuples()]

    def new(self) -> int:
        """How many no retraining has had."""
        query = select(func.count()).where(AssistSampleRow.used_by == "")
        with self._database.read() as session:
            return session.scalar(query) or 0

    def begin(self, retraining_id: str, reason: str, before: str, now: datetime) -> Retraining:
        """Begin a retraining with all samples that there are; `before`: the ranker's version that
        answers. Raises RetrainingRunsError where another goes on."""
        sample = AssistSampleRow
        with self._database.write() as session:
            running = select(AssistRetrainingRow).where(AssistRetrainingRow.ended_at.is_(None))
            other = session.scalar(running.limit(1))
            if other is not None:
                raise RetrainingRunsError(other.retraining_id)
            counted = select(func.max(sample.number), func.count())
            upto, count = session.execute(counted).one()
            positives = session.scalar(select(func.count()).where(sample.positive))
            row = AssistRetrainingRow(
                retraining_id=retraining_id,
                reason=reason,
                started_at=now,
                ended_at=None,
                upto=upto or 0,
                samples=count,
                positives=positives or 0,
                state="running",
                before=before,
                made="",
                judgement={},
            )
            session.add(row)
            taken = update(sample).where(sample.used_by == "").values(used_by=retraining_id)
            session.execute(taken)
            return _retraining(row)

    def end(
        self,
        retraining_id: str,
        state: str,
        now: datetime,
        made: str = "",
        judgement: Mapping[str, Any] | None = None,
    ) -> None:
        """What came of it. Samples of one that `failed` are new again."""
        sample = AssistSampleRow
        with self._database.write() as session:
            row = session.get_one(AssistRetrainingRow, retraining_id)
            row.state, row.ended_at, row.made = state, now, made
            row.judgement = dict(judgement or {})
            if state == "failed":
                again = update(sample).where(sample.used_by == retraining_id).values(used_by="")
                session.execute(again)

    def retrainings(self, limit: int = 100) -> list[Retraining]:
        """The latest first."""
        row = AssistRetrainingRow
        query = select(row).order_by(row.started_at.desc(), row.retraining_id).limit(limit)
        with self._database.read() as session:
            return [_retraining(found) for found in session.scalars(query)]


def _sample(
    row: AssistSampleRow,
    push: AssistPushRow,
    customer_id: str,
    suggestion: AssistSuggestionRow,
    text: str,
) -> Sample:
    return Sample(
        number=row.number,
        push_id=row.push_id,
        agent_id=push.agent_id,
        call_id=push.call_id,
        customer_id=customer_id,
        script_id=row.script_id,
        positive=row.positive,
        score=row.score,
        at=row.at,
        used_by=row.used_by,
        text=text,
        context=dict(suggestion.context),
        library=suggestion.library,
    )


def _retraining(row: AssistRetrainingRow) -> Retraining:
    return Retraining(
        retraining_id=row.retraining_id,
        reason=row.reason,
        started_at=row.started_at,
        ended_at=row.ended_at,
        upto=row.upto,
        samples=row.samples,
        positives=row.positives,
        state=row.state,
        before=row.before,
        made=row.made,
        judgement=dict(row.judgement),
    )
