"""What a service made of a request, an answer or a failure, and waiting for several of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from persona_ray.serving.service import Answered, PersonalityService

ResultT = TypeVar("ResultT")
Ask = Callable[["PersonalityService"], Awaitable["Answered[ResultT]"]]


@dataclass(frozen=True, slots=True)
class Good(Generic[ResultT]):
    """An answer, and how long it took."""

    answer: Answered[ResultT]
    took_s: float


@dataclass(frozen=True, slots=True)
class Failed:
    """It raised `error`, or was not done in time (TimeoutError)."""

    error: Exception


Outcome = Good[ResultT] | Failed


async def outcome_of(ask: Ask[ResultT], service: PersonalityService) -> Outcome[ResultT]:
    """What it made of the request; raises nothing but cancellation."""
    began = perf_counter()
    try:
        answer = await ask(service)
    except Exception as error:
        return Failed(error)
    return Good(answer, perf_counter() - began)


async def already(found: Outcome[ResultT]) -> Outcome[ResultT]:
    """One that is there already, to be waited for like another."""
    return found


def given(found: Outcome[ResultT]) -> Answered[ResultT]:
    """The answer; raises the error of a failure."""
    if isinstance(found, Failed):
        raise found.error
    return found.answer


def so_far(task: asyncio.Task[Outcome[ResultT]]) -> Outcome[ResultT]:
    """TimeoutError where it is not done."""
    return task.result() if task.done() else Failed(TimeoutError())


async def first_good(*tasks: asyncio.Task[Outcome[ResultT]]) -> None:
    """Until one of them has an answer, or all have failed."""
    waiting = {task for task in tasks if not task.done()}
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if any(isinstance(task.result(), Good) for task in done):
            return


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """All of them, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
