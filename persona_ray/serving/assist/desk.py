"""What devices and routes do with pushes: acknowledge, judge, and say what a call came to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from persona_ray.conversation import Action, Outcome, Rating
from persona_ray.errors import RequestError
from persona_ray.inference.assist.feedback import is_sample, score
from persona_ray.serving.assist.protocol import Feedback, FeedbackTaken
from persona_ray.store.assist.records import (
    NotShownError,
    PushState,
    Said,
    Scored,
    UnknownPushError,
    UnknownScriptError,
)
from persona_ray.store.live_calls import UnknownLiveCallError

if TYPE_CHECKING:
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.serving.gate import Caller
    from persona_ray.store.assist.records import Given, OutcomeTaken, Push

_UNSEEN = frozenset({PushState.LATE, PushState.FAILED})


class AssistDesk:
    """Over the store of one web application. An agent's caller touches that agent's pushes alone,
    an operator any."""

    def __init__(self, services: AssistServices) -> None:
        self._config = services.config.assist.feedback
        self._metrics = services.metrics
        self._store = services.store

    async def seen(self, caller: Caller, push_id: str) -> Push:
        """It stands on a screen; the same again changes nothing. Raises RequestError."""
        push = await self._push(caller, push_id)
        if push.state in _UNSEEN:
            raise _not_shown()
        comes_to = self._store.pushes.comes_to
        # A customer's channel acknowledges for itself.
        new = await asyncio.to_thread(comes_to, push_id, PushState.SEEN, _now())
        if new:
            self._metrics.pushes(PushState.SEEN)
        return await self._push(caller, push_id)

    async def feedback(self, caller: Caller, push_id: str, said: Feedback) -> FeedbackTaken:
        """The same again changes nothing; another takes its place. Raises RequestError."""
        await self._push(caller, push_id)
        given = Said(
            action=said.action,
            script_id=said.script_id,
            rating="" if said.rating is None else said.rating,
            text=said.text,
        )
        give, late_s = self._store.feedback.give, self._config.late_s
        try:
            taken, new = await asyncio.to_thread(give, push_id, given, self._score, late_s, _now())
        except UnknownPushError:
            raise _unknown_push() from None
        except NotShownError:
            raise _not_shown() from None
        except UnknownScriptError:
            raise RequestError(
                "assist.script",
                "the push has no such script",
                field="script_id",
                fix="name one of its scripts, or leave script_id out for the large one",
            ) from None
        if new:
            self._metrics.feedback(said.action)
        return FeedbackTaken(push_id=push_id, score=taken.score, counted=taken.counted)

    async def outcome(self, agent_id: str, call_id: str, outcome: Outcome) -> OutcomeTaken:
        """What a call came to; its pushes' feedback is scored anew with it. Raises RequestError."""
        tell, late_s = self._store.feedback.outcome, self._config.late_s
        try:
            return await asyncio.to_thread(
                tell, agent_id, call_id, outcome, self._score, late_s, _now()
            )
        except UnknownLiveCallError:
            raise unknown_call() from None

    async def pushes(self, agent_id: str, call_id: str) -> list[tuple[Push, Given | None]]:
        """Of a call, in order, with what was said of each. Raises RequestError."""
        try:
            await asyncio.to_thread(self._store.assist_calls.get, agent_id, call_id)
        except UnknownLiveCallError:
            raise unknown_call() from None
        pushes = await asyncio.to_thread(self._store.pushes.of_call, agent_id, call_id)
        given = await asyncio.to_thread(self._store.feedback.of_call, agent_id, call_id)
        return [(push, given.get(push.push_id)) for push in pushes]

    async def _push(self, caller: Caller, push_id: str) -> Push:
        try:
            push = await asyncio.to_thread(self._store.pushes.get, push_id)
        except UnknownPushError:
            raise _unknown_push() from None
        if not caller.allows("operator") and push.agent_id != caller.name:
            raise RequestError(
                "assist.agent",
                "the push was another agent's",
                status=403,
                field="push_id",
                fix="use that agent's key, or one with the scope 'operator'",
            )
        return push

    def _score(self, said: Said, outcome: str) -> Scored:
        points = score(
            Action(said.action),
            Rating(said.rating) if said.rating else None,
            Outcome(outcome) if outcome else None,
            self._config,
        )
        return Scored(points, is_sample(points, self._config))


def unknown_call() -> RequestError:
    """For a call that is not there, or is another agent's."""
    return RequestError(
        "assist.call",
        "the agent has no such call, or it was too long ago",
        status=404,
        field="call_id",
        fix="name a call of this agent",
    )


def _unknown_push() -> RequestError:
    return RequestError(
        "assist.push",
        "there never was such a push, or its call was deleted",
        status=404,
        field="push_id",
        fix="name a push as the device was told it",
    )


def _not_shown() -> RequestError:
    return RequestError(
        "assist.not_shown",
        "the push was dropped and never shown",
        status=409,
        field="push_id",
        fix="judge pushes that stood on a screen",
    )


def _now() -> datetime:
    return datetime.now(UTC)
