"""What agents say of pushes, what calls came to, and the samples that both make. Scores come from
the caller (`Scorer`), who owns the rules; here each thing is taken once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from persona_ray.store.assist.records import (
    DEVICE,
    Given,
    NotShownError,
    OutcomeTaken,
    PushState,
    Said,
    Scored,
    Scorer,
    UnknownPushError,
    UnknownScriptError,
)
from persona_ray.store.assist.suggestions import given
from persona_ray.store.assist.tables import (
    AssistCallRow,
    AssistFeedbackHistoryRow,
    AssistFeedbackRow,
    AssistPushRow,
    AssistSampleRow,
)
from persona_ray.store.database import Database
from persona_ray.store.live_calls import UnknownLiveCallError

_UNSEEN = frozenset({PushState.LATE, PushState.FAILED})


class FeedbackRepository:
    """Feedback by push: one stands, the others are its history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(
        self, push_id: str, said: Said, scorer: Scorer, late_s: float, now: datetime
    ) -> tuple[Given, bool]:
        """Take what an agent says of a push; whether it is new.

        The same again changes nothing. Another takes its place, which is kept in the history; both
        until `late_s` after the call's end: what comes later is kept, and counts for nothing.
        Raises UnknownPushError, NotShownError, UnknownScriptError.
        """
        with self._database.write() as session:
            push = session.get(AssistPushRow, push_id)
            if push is None:
                raise UnknownPushError(push_id)
            if push.state in _UNSEEN:
                raise NotShownError(push_id)
            said = replace(said, script_id=said.script_id or push.scripts[0])
            if said.script_id not in push.scripts:
                raise UnknownScriptError(said.script_id)
            call = _call(session, push.agent_id, push.call_id)
            row = session.get(AssistFeedbackRow, push_id)
            counted = not _is_late(call, late_s, now)
            again = _again(session, row, said, counted)
            if again is not None:
                return again, False
            if push.channel == DEVICE:
                # Whoever judges it has seen it, whether or not the device said so.
                _note_seen(push, now)
            scored = scorer(said, call.outcome)
            new = Given(said, scored.score, counted, now)
            if row is None:
                session.add(AssistFeedbackRow(push_id=push_id, **_columns(new)))
            elif counted:
                session.add(AssistFeedbackHistoryRow(push_id=push_id, **_columns(given(row))))
                for name, value in _columns(new).items():
                    setattr(row, name, value)
            else:
                session.add(AssistFeedbackHistoryRow(push_id=push_id, **_columns(new)))
            if counted:
                _learn(session, push_id, said, scored, now)
            return new, True

    def outcome(
        self,
        agent_id: str,
        call_id: str,
        outcome: str,
        scorer: Scorer,
        late_s: float,
        now: datetime,
    ) -> OutcomeTaken:
        """Take what a call came to; the feedback on its pushes that counts is scored anew with it.

        The same again changes nothing, and one that comes `late_s` after the call's end or later is
        kept where there is none, and counts for nothing. Raises UnknownLiveCallError.
        """
        with self._database.write() as session:
            call = session.get(AssistCallRow, (agent_id, call_id))
            if call is None:
                raise UnknownLiveCallError(call_id)
            late = _is_late(call, late_s, now)
            if call.outcome == outcome or (late and call.outcome):
                told_at = call.outcome_at or now
                counts = call.outcome == outcome and not _is_late(call, late_s, told_at)
                return OutcomeTaken(call.outcome, counts, 0)
            call.outcome, call.outcome_at = outcome, now
            rescored = 0 if late else _score_anew(session, call, scorer, now)
            return OutcomeTaken(outcome, not late, rescored)

    def get(self, push_id: str) -> Given | None:
        """What stands; None where nothing was said."""
        with self._database.read() as session:
            row = session.get(AssistFeedbackRow, push_id)
            return None if row is None else given(row)

    def history(self, push_id: str) -> list[Given]:
        """What something else stands in the place of, and what came too late, oldest first."""
        past = AssistFeedbackHistoryRow
        query = select(past).where(past.push_id == push_id).order_by(past.id)
        with self._database.read() as session:
            return [given(row) for row in session.scalars(query)]

    def of_call(self, agent_id: str, call_id: str) -> dict[str, Given]:
        """What stands, by push."""
        push, row = AssistPushRow, AssistFeedbackRow
        query = (
            select(row)
            .join(push, push.push_id == row.push_id)
            .where(push.agent_id == agent_id, push.call_id == call_id)
        )
        with self._database.read() as session:
            return {found.push_id: given(found) for found in session.scalars(query)}


def _call(session: Session, agent_id: str, call_id: str) -> AssistCallRow:
    # A push goes with its call.
    return session.get_one(AssistCallRow, (agent_id, call_id))


def _is_late(call: AssistCallRow, late_s: float, now: datetime) -> bool:
    return call.ended_at is not None and now > call.ended_at + timedelta(seconds=late_s)


def _again(
    session: Session, row: AssistFeedbackRow | None, said: Said, counted: bool
) -> Given | None:
    """The same feedback as it was taken before; None where it is new."""
    if row is None:
        return None
    if given(row).said == said:
        return given(row)
    if counted:
        return None
    past = AssistFeedbackHistoryRow
    query = select(past).where(past.push_id == row.push_id, past.counted.is_(False))
    kept = (given(found) for found in session.scalars(query))
    return next((one for one in kept if one.said == said), None)


def _note_seen(push: AssistPushRow, now: datetime) -> None:
    push.state = PushState.SEEN
    push.sent_at = push.sent_at or now
    push.seen_at = push.seen_at or now


def _columns(one: Given) -> dict[str, object]:
    return {
        "action": one.said.action,
        "script_id": one.said.script_id,
        "rating": one.said.rating,
        "text": one.said.text,
        "score": one.score,
        "counted": one.counted,
        "at": one.at,
    }


def _score_anew(session: Session, call: AssistCallRow, scorer: Scorer, now: datetime) -> int:
    push, row = AssistPushRow, AssistFeedbackRow
    query = (
        select(row)
        .join(push, push.push_id == row.push_id)
        .where(push.agent_id == call.agent_id, push.call_id == call.call_id, row.counted)
    )
    found = session.scalars(query).all()
    for one in found:
        said = given(one).said
        scored = scorer(said, call.outcome)
        one.score = scored.score
        _learn(session, one.push_id, said, scored, now)
    return len(found)


def _learn(session: Session, push_id: str, said: Said, scored: Scored, now: datetime) -> None:
    """One sample of each push; what changes what it teaches is a new one."""
    row = session.scalar(select(AssistSampleRow).where(AssistSampleRow.push_id == push_id))
    if row is not None and (row.script_id, row.positive) == (said.script_id, scored.positive):
        row.score = scored.score
        return
    session.execute(delete(AssistSampleRow).where(AssistSampleRow.push_id == push_id))
    session.add(
        AssistSampleRow(
            push_id=push_id,
            script_id=said.script_id,
            positive=scored.positive,
            score=scored.score,
            at=now,
            used_by="",
        )
    )
