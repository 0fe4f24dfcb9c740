"""One connection of a live call: messages in, events out, and every way it may end.

| code | why the line was closed | come again? |
|---|---|---|
| 1000 | the call is over: `end` was sent | no |
| 4400 | a message or frame that cannot be read, frames missing | yes, with what was right |
| 4401, 4403 | no key, one without the scope `live`, or one revoked meanwhile | no |
| 4404 | a call that is gone on with is not there, or was too long ago | no |
| 4408 | no frame for `serving.live.idle_timeout_s` | yes |
| 4409 | another connection goes on with the call, or it cannot be gone on with | no |
| 4413 | longer than `serving.limits.max_call_s`: ended there, all settled | no |
| 4422 | a step, colour or channel that is none (assisted calls) | yes, with what was right |
| 4429 | events are not read, or the key's requests are used up | yes |
| 4500, 4503 | the service failed, is full, ends, or its database does not answer | yes |
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.ending import ENDING
from persona_ray.serving.failures import Failure, close_of, failure_of, unexpected
from persona_ray.serving.gate import KEY_AGE_S
from persona_ray.serving.live.outbox import EventT, Outbox
from persona_ray.serving.live.protocol import Event, Failed
from persona_ray.store.live_calls import SupersededError
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

NORMAL = 1000
TOO_LONG = 413
_FINAL = frozenset({401, 403, 404, 409, 413})
# How soon a line is told that the service ends.
_LOOK_EVERY_S = 0.25
# A client that reads nothing is not waited for at the end.
_LAST_WORDS_S = 5.0


class Line:
    """The messages of one WebSocket, as our protocol has them."""

    def __init__(self, websocket: WebSocket, idle_s: float) -> None:
        self._websocket = websocket
        self._idle_s = idle_s
        self._check: Callable[[], Awaitable[None]] | None = None

    def admitted_by(self, check: Callable[[], Awaitable[None]]) -> None:
        """`check` raises RequestError once the caller may no longer do this."""
        self._check = check

    async def watch(self) -> None:
        """For as long as the caller may, and the service goes on; then the RequestError that says
        why not."""
        while self._check is not None:
            until = time.monotonic() + KEY_AGE_S
            while time.monotonic() < until:
                if self._websocket.app.state.traffic.ending:
                    raise replace(ENDING, fix="connect again with resume_from").refusal()
                await asyncio.sleep(min(KEY_AGE_S, _LOOK_EVERY_S))
            await self._check()

    async def receive(self) -> bytes | str:
        """The next frame or text. Raises WebSocketDisconnect, and RequestError for silence."""
        try:
            async with asyncio.timeout(self._idle_s):
                message = await self._websocket.receive()
        except TimeoutError:
            raise RequestError(
                "live.idle",
                f"no frame for {self._idle_s:g} s",
                status=408,
                fix="connect again with resume_from when there is sound; frames of silence count",
            ) from None
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        data: bytes | None = message.get("bytes")
        return data if data is not None else str(message.get("text", ""))

    async def send(self, event: Event) -> None:
        """Raises WebSocketDisconnect; RequestError where the client does not read."""
        await self.send_text(event.model_dump_json())

    async def send_text(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._idle_s):
                await self._websocket.send_text(text)
        except TimeoutError:
            raise RequestError(
                "live.slow", f"an event was not read for {self._idle_s:g} s", status=429
            ) from None
        except (RuntimeError, OSError):
            raise WebSocketDisconnect(1006) from None

    async def close(self, code: int, reason: str = "") -> None:
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._websocket.close(code, reason)
        except (TimeoutError, RuntimeError, OSError, WebSocketDisconnect):
            # It is closed, or nobody is there.
            return


class Conversing(Protocol):
    """A call that a line is the ear of: `work` runs beside the others."""

    @property
    def ended(self) -> bool:
        """Whether it had ended before it was gone on with."""
        ...

    async def take(self, message: bytes) -> None:
        """A frame. Raises RequestError."""
        ...

    async def told(self, message: str) -> bool:
        """A text message; whether it is the end of the call. Raises RequestError."""
        ...

    async def finish(self) -> None:
        """There are no more frames."""
        ...

    async def work(self) -> None:
        """Until all is settled."""
        ...

    def cancel(self) -> None:
        """The connection is over."""
        ...


async def converse(line: Line, call: Conversing, outbox: Outbox[EventT]) -> None:
    """Until the call is over. Raises what ends it otherwise."""
    too_long: RequestError | None = None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_send(line, outbox))
            if call.ended:
                outbox.close()
                return
            watching = group.create_task(line.watch())
            hearing = group.create_task(_hear(line, call))
            await call.work()
            too_long = await hearing
            watching.cancel()
            outbox.close()
    except* Exception as group_error:
        raise first_error(group_error) from None
    finally:
        call.cancel()
    if too_long is not None:
        raise too_long


async def part(line: Line, outbox: Outbox[EventT] | None, seq: int, error: Exception) -> Failure:
    """Say why, and close. What waits is sent before, unless the client is too slow for it."""
    failure = _why(error)
    words: list[Event] = [
        Failed(
            seq=seq,
            error=failure.detail(),
            resumable=failure.status not in _FINAL,
        )
    ]
    if outbox is not None and failure.status != 429:
        words = [*outbox.rest(), *words]
    try:
        async with asyncio.timeout(_LAST_WORDS_S):
            for event in words:
                await line.send(event)
    except (TimeoutError, RequestError, WebSocketDisconnect):
        pass
    await line.close(*close_of(failure))
    return failure


async def _send(line: Line, outbox: Outbox[EventT]) -> None:
    while (event := await outbox.get()) is not None:
        await line.send(event)


async def _hear(line: Line, call: Conversing) -> RequestError | None:
    """Until the client ends the call. One that is too long is ended where it is too long, by the
    error that is returned."""
    while True:
        message = await line.receive()
        if isinstance(message, bytes):
            try:
                await call.take(message)
            except RequestError as error:
                if error.status != TOO_LONG:
                    raise
                await call.finish()
                return error
            # Frames that have come already are not to keep other calls waiting.
            await asyncio.sleep(0)
        elif await call.told(message):
            await call.finish()
            return None


def start_first(said: str) -> RequestError:
    """Something else as the first message."""
    return RequestError(
        "live.message",
        f"{said} before start",
        status=400,
        field="type",
        fix="send start first, wait for started, then send frames",
    )


def begun_already() -> RequestError:
    """A `start` after the first message."""
    return RequestError(
        "live.message",
        "start is the first message, and no other",
        status=400,
        field="type",
        fix="send frames, then end",
    )


def first_error(group: BaseExceptionGroup[Exception]) -> Exception:
    """What came first; that the client is gone matters less than anything else."""
    flat: list[Exception] = []
    for error in group.exceptions:
        flat += [first_error(error)] if isinstance(error, BaseExceptionGroup) else [error]
    return next((one for one in flat if not isinstance(one, WebSocketDisconnect)), flat[0])


def _why(error: Exception) -> Failure:
    if isinstance(error, SupersededError):
        return Failure(
            409,
            "live.superseded",
            "another connection goes on with this call, or it was deleted",
            fix="leave the call to that connection",
        )
    failure = failure_of(error)
    if failure is None:
        log_exception("live call failed", error)
        return unexpected()
    return failure
