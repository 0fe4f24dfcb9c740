"""The log of what was decided after every sentence of a customer: each candidate with its score and
propensity, what was chosen, and what became of it. New rankers are judged by it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from persona_ray.store.assist.records import (
    Given,
    NewSuggestion,
    PushState,
    Said,
    StoredSuggestion,
)
from persona_ray.store.assist.tables import (
    AssistCallRow,
    AssistFeedbackRow,
    AssistPushRow,
    AssistSuggestionRow,
    FeedbackColumns,
)
from persona_ray.store.database import Database

if TYPE_CHECKING:
    from sqlalchemy import Select


def log_suggestion(session: Session, call: AssistCallRow, made: NewSuggestion) -> None:
    """Add a suggestion of a call, and its push, within the caller's transaction."""
    session.add(
        AssistSuggestionRow(
            agent_id=call.agent_id,
            call_id=call.call_id,
            turn=made.turn,
            at=made.at,
            product=made.product,
            reason=made.reason,
            library=made.library,
            ranker=made.ranker,
            context=dict(made.context),
            candidates=[dict(one) for one in made.candidates],
            shown=list(made.shown),
            chosen=made.chosen,
            explored=made.explored,
        )
    )
    if made.push is not None:
        push = made.push
        session.add(
            AssistPushRow(
                push_id=push.push_id,
                agent_id=call.agent_id,
                call_id=call.call_id,
                turn=made.turn,
                channel=push.channel,
                scripts=list(push.scripts),
                state=PushState.MADE,
                made_at=made.at,
                expires_at=push.expires_at,
            )
        )


class SuggestionRepository:
    """Suggestions by call, by what came of them, by when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_call(self, agent_id: str, call_id: str) -> list[StoredSuggestion]:
        """In the order of the call."""
        suggestion = AssistSuggestionRow
        query = _joined().where(suggestion.agent_id == agent_id, suggestion.call_id == call_id)
        return self._read(query.order_by(suggestion.turn))

    def judged(
        self, since: datetime, until: datetime, after: int = 0, limit: int = 1000
    ) -> list[tuple[int, StoredSuggestion]]:
        """What was pushed and has feedback that counts, with ids that grow: those of times `since`
        to before `until`, after id `after`."""
        suggestion = AssistSuggestionRow
        query = (
            _joined()
            .where(AssistFeedbackRow.counted, suggestion.at >= since, suggestion.at < until)
            .where(suggestion.id > after)
            .order_by(suggestion.id)
            .limit(limit)
        )
        with self._database.read() as session:
            rows = session.execute(query).tuples().all()
            return [(row[0].id, _record(*row)) for row in rows]

    def latest(self, since: datetime, limit: int, product: str = "") -> list[StoredSuggestion]:
        """The latest, whether they came to something or not."""
        suggestion = AssistSuggestionRow
        query = _joined().where(suggestion.at >= since)
        if product:
            query = query.where(suggestion.product == product)
        return self._read(query.order_by(suggestion.at.desc(), suggestion.id.desc()).limit(limit))

    def reasons(self, since: datetime) -> dict[str, int]:
        """How often nothing was pushed, by why; empty: something was."""
        suggestion = AssistSuggestionRow
        query = (
            select(suggestion.reason, func.count())
            .where(suggestion.at >= since)
            .group_by(suggestion.reason)
        )
        with self._database.read() as session:
            return dict(session.execute(query).tuples().all())

    def _read(self, query: _Rows) -> list[StoredSuggestion]:
        with self._database.read() as session:
            return [_record(*row) for row in session.execute(query).tuples()]


_Rows: TypeAlias = "Select[AssistSuggestionRow, AssistCallRow, AssistPushRow, AssistFeedbackRow]"


def given(row: FeedbackColumns) -> Given:
    """Feedback as the repositories hand it out."""
    said = Said(action=row.action, script_id=row.script_id, rating=row.rating, text=row.text)
    return Given(said, row.score, row.counted, row.at)


def _joined() -> _Rows:
    suggestion, call, push = AssistSuggestionRow, AssistCallRow, AssistPushRow
    of_call = (call.agent_id == suggestion.agent_id) & (call.call_id == suggestion.call_id)
    of_turn = (
        (push.agent_id == suggestion.agent_id)
        & (push.call_id == suggestion.call_id)
        & (push.turn == suggestion.turn)
    )
    return (
        select(suggestion, call, push, AssistFeedbackRow)
        .join(call, of_call)
        .outerjoin(push, of_turn)
        .outerjoin(AssistFeedbackRow, AssistFeedbackRow.push_id == push.push_id)
    )


def _record(
    row: AssistSuggestionRow,
    call: AssistCallRow,
    push: AssistPushRow | None,
    feedback: AssistFeedbackRow | None,
) -> StoredSuggestion:
    return StoredSuggestion(
        agent_id=row.agent_id,
        call_id=row.call_id,
        customer_id=call.customer_id,
        turn=row.turn,
        at=row.at,
        product=row.product,
        context=dict(row.context),
        library=row.library,
        ranker=row.ranker,
        reason=row.reason,
        candidates=tuple(row.candidates),
        shown=tuple(row.shown),
        chosen=row.chosen,
        explored=row.explored,
        push_id="" if push is None else push.push_id,
        outcome=call.outcome,
        feedback=None if feedback is None else given(feedback),
    )
