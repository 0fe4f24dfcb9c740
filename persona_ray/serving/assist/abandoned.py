"""The end of calls that nobody goes on with: with what was settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

from persona_ray.errors import RequestError, StoreError
from persona_ray.serving.assist.protocol import CallEnded
from persona_ray.serving.assist.state import read_assist_state
from persona_ray.store.assist.records import NewEvent
from persona_ray.store.live_calls import SupersededError
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.store.assist.records import AssistCall

_LOOK_EVERY_S = 5.0


@asynccontextmanager
async def ending_abandoned(services: AssistServices) -> AsyncIterator[None]:
    """While the application is up. A call may be gone on with for `serving.live.resume_s`."""
    task = asyncio.create_task(_look(services))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _look(services: AssistServices) -> None:
    while True:
        try:
            ended = await asyncio.to_thread(end_abandoned, services)
            if ended:
                services.woken.set()
                log_event("assisted calls that nobody went on with", calls=ended)
        except StoreError as error:
            log_exception("calls that nobody goes on with wait for the database", error)
        await asyncio.sleep(_LOOK_EVERY_S)


def end_abandoned(services: AssistServices) -> int:
    """How many were ended. Raises StoreError."""
    calls = services.store.assist_calls
    before = services.store.now() - timedelta(seconds=services.config.serving.live.resume_s)
    ended = 0
    for call in calls.abandoned(before):
        # Another replica has it, or its client has come after all.
        with suppress(SupersededError):
            mine = calls.claim_abandoned(call)
            event = _end(mine, services)
            body = NewEvent(event.model_dump_json())
            calls.settle(mine, {}, mine.events, [body], ended=True)
            ended += 1
    return ended


def _end(call: AssistCall, services: AssistServices) -> CallEnded:
    heard_s, turns, pushes = 0.0, 0, 0
    # Of a call that another release left nothing is told but its end.
    with suppress(RequestError):
        state = read_assist_state(call.checkpoint, services.config)
        heard_s, turns, pushes = state.heard_s, state.mind.heard, state.mind.pushed
    return CallEnded(seq=call.events + 1, duration_s=round(heard_s, 3), turns=turns, pushes=pushes)
