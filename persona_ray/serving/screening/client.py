"""A client of screened calls: the caller's side of a line, which comes again when it breaks.

    client = CallClient("http://127.0.0.1:8600", "call-1", Sound(encoding="mulaw"), key=key)
    ended = await client.call(on_event, on_sound)

A line never stops: where nobody speaks it carries silence. What the caller says is given by `say`,
at any time; `hang_up` ends the call once it is said.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.errors import RequestError, ServiceLostError
from persona_ray.serving.live.frames import decode, frame
from persona_ray.serving.live.protocol import HEADER_BYTES, Ack, Failed
from persona_ray.serving.screening.protocol import CallEnded, CallEventOut, CallStarted, read_event
from persona_ray.serving.screening.robot_sound import encoded

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from persona_ray.serving.live.protocol import Sound
    from persona_ray.types import Samples

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0
_FRAME_S = 0.04

OnEvent = Callable[[CallEventOut], None]
OnSound = Callable[["Samples"], None]


class _BrokenError(Exception):
    """The line broke; the call goes on over another."""


class CallClient:
    """One call. `start`: further fields of the first message (number, user_id, ...). `patience_s`:
    how long it tries to come again. `speed`: of the caller's line against real time."""

    def __init__(
        self,
        url: str,
        call_id: str,
        sound: Sound,
        *,
        key: str = "",
        start: Mapping[str, Any] | None = None,
        patience_s: float = 15.0,
        speed: float = 1.0,
    ) -> None:
        self.url = calls_url(url)
        self.connections = 0
        self._sound = sound
        self._start = {
            "type": "start",
            "call_id": call_id,
            **sound.model_dump(),
            **dict(start or {}),
        }
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._step_s = _FRAME_S / speed
        self._speech: deque[bytes] = deque()
        # Frames after the last settled one, by number from `_first` on.
        self._kept: deque[bytes] = deque()
        self._first = 1
        self._seen: int | None = None
        self._leaving = False
        self._left = False
        self._more = asyncio.Condition()

    def say(self, samples: Samples, rate_hz: int) -> None:
        """Speech of the caller: mono samples (n,) in [-1, 1]."""
        line_hz = self._sound.sample_rate_hz
        there = resample(np.ascontiguousarray(samples, dtype=np.float32), rate_hz, line_hz)
        size = round(_FRAME_S * line_hz)
        for at in range(0, len(there), size):
            part = there[at : at + size]
            self._speech.append(self._payload(np.pad(part, (0, size - len(part)))))

    def hang_up(self) -> None:
        """Once everything is said."""
        self._leaving = True

    @property
    def silent(self) -> bool:
        """Everything was said."""
        return not self._speech

    async def call(self, on_event: OnEvent, on_sound: OnSound = lambda _: None) -> CallEnded:
        """Until the call has its verdict. Raises RequestError where the service refuses the call,
        ServiceLostError where it is not to be reached."""
        line = asyncio.create_task(self._speak())
        try:
            return await self._until_ended(on_event, on_sound)
        finally:
            line.cancel()

    async def _until_ended(self, on_event: OnEvent, on_sound: OnSound) -> CallEnded:
        loop = asyncio.get_running_loop()
        deadline, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
        while True:
            before = (self._seen, self._first)
            try:
                return await self._connection(on_event, on_sound)
            except _BrokenError as broken:
                if (self._seen, self._first) != before:
                    deadline, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
                if loop.time() + wait_s > deadline:
                    raise ServiceLostError(
                        f"{self.url}: {broken}; gave up after {self._patience_s:g} s"
                    ) from None
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), 0
        quiet = self._payload(np.zeros(round(_FRAME_S * self._sound.sample_rate_hz), np.float32))
        while not self._left:
            await asyncio.sleep(max(0.0, begun + count * self._step_s - loop.time()))
            count += 1
            async with self._more:
                if self._speech or not self._leaving:
                    self._kept.append(self._speech.popleft() if self._speech else quiet)
                else:
                    self._left = True
                self._more.notify_all()

    async def _connection(self, on_event: OnEvent, on_sound: OnSound) -> CallEnded:
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        self.connections += 1
        try:
            async with connect(self.url, additional_headers=self._headers) as line:
                started = await self._begin(line)
                on_event(started)
                sending = asyncio.create_task(self._send(line, started.next_frame))
                try:
                    return await self._listen(line, on_event, on_sound)
                finally:
                    sending.cancel()
        except InvalidStatus as refused:
            status = refused.response.status_code
            if status in (401, 403, 404, 409, 422):
                raise _refusal(bytes(refused.response.body), status) from None
            raise _BrokenError(f"the service answered {status}") from None
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError) as error:
            raise _BrokenError(type(error).__name__) from None

    async def _begin(self, line: ClientConnection) -> CallStarted:
        start = dict(self._start)
        if self._seen is not None:
            start["resume_from"] = self._seen
        await line.send(json.dumps(start))
        event = read_event(str(await line.recv()))
        if isinstance(event, Failed):
            raise _failure(event)
        if not isinstance(event, CallStarted):
            raise RequestError("live.protocol", f"'{event.type}' before 'started'", status=400)
        self._seen = self._seen or 0
        self._settle(event.next_frame - 1)
        return event

    async def _send(self, line: ClientConnection, number: int) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                number = max(number, self._first)
                payload = await self._frame(number)
                if payload is None:
                    await line.send(json.dumps({"type": "end"}))
                    return
                await line.send(frame(number, payload))
                number += 1
        except ConnectionClosed:
            # Whoever listens sees it too.
            return

    async def _frame(self, number: int) -> bytes | None:
        """Frame `number`, once it is there; None where the caller left before it."""
        async with self._more:
            await self._more.wait_for(lambda: self._left or number <= self._last)
            # Only what was sent is settled, so it is among those that are kept.
            return None if number > self._last else self._kept[number - self._first]

    @property
    def _last(self) -> int:
        return self._first + len(self._kept) - 1

    async def _listen(
        self, line: ClientConnection, on_event: OnEvent, on_sound: OnSound
    ) -> CallEnded:
        mono = self._sound.model_copy(update={"channels": 1, "customer_channel": 0})
        while True:
            message = await line.recv()
            if isinstance(message, bytes):
                on_sound(decode(mono, message[HEADER_BYTES:]))
                continue
            event = read_event(message)
            self._seen = max(self._seen or 0, event.seq)
            if isinstance(event, Ack):
                self._settle(event.frame)
            if isinstance(event, Failed):
                raise _failure(event)
            on_event(event)
            if isinstance(event, CallEnded):
                return event

    def _settle(self, number: int) -> None:
        while self._kept and self._first <= number:
            self._kept.popleft()
            self._first += 1

    def _payload(self, samples: Samples) -> bytes:
        # The caller's channel, and nothing on the others.
        both = np.zeros((len(samples), self._sound.channels), dtype=np.float32)
        both[:, self._sound.customer_channel] = samples
        return encoded(both.ravel(), self._sound.encoding)


def calls_url(url: str) -> str:
    """The address of screened calls where an address of the service is given."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/screening/calls"):
        path += "/v1/screening/calls"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


def _failure(event: Failed) -> Exception:
    error = event.error
    if event.resumable:
        return _BrokenError(f"{error.code}: {error.message}")
    return RequestError(error.code, error.message, field=error.field, fix=error.fix)


def _refusal(body: bytes, status: int) -> Exception:
    try:
        error = json.loads(body)["error"]
        code, message, fix = str(error["code"]), str(error["message"]), str(error["fix"])
    except (ValueError, KeyError, TypeError):
        code, message, fix = "live.refused", f"the service answered {status}", ""
    return RequestError(code, message, status=status, fix=fix)
