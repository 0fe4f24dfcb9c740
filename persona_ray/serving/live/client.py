"""A client of live calls: it streams, keeps what is not settled, and comes again when the line
breaks.

    client = LiveClient("ws://127.0.0.1:8600/v1/live", "call-1", Sound(encoding="mulaw"), key=key)
    ended = await client.stream(payloads, on_event)
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import numpy as np

from persona_ray.errors import RequestError, ServiceLostError
from persona_ray.serving.live.frames import frame
from persona_ray.serving.live.protocol import (
    WINDOW_S,
    Ack,
    AnyEvent,
    Ended,
    Failed,
    Sound,
    Started,
    read_event,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from persona_ray.types import Samples

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
# Statuses of a refused connection after which it is worth coming again.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

OnEvent = Callable[[AnyEvent], None]


class _BrokenError(Exception):
    """The line broke; the call goes on over another."""


class LiveClient:
    """One call. `patience_s`: how long it tries to come again without getting anywhere.
    `on_break` is told why there is no line, each time."""

    def __init__(
        self,
        url: str,
        call_id: str,
        sound: Sound,
        *,
        key: str = "",
        customer_id: str = "",
        patience_s: float = 60.0,
        on_break: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url = live_url(url)
        self.connections = 0
        self._start = {
            "type": "start",
            "call_id": call_id,
            "customer_id": customer_id,
            **sound.model_dump(),
        }
        self._sound = sound
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._on_break = on_break
        # Frames after the last acknowledged one, by number from `_first` on.
        self._kept: deque[bytes] = deque()
        self._first = 1
        self._whole = False
        self._seen: int | None = None
        self._received = 0
        self._next = 1
        self._changed = asyncio.Condition()

    async def stream(self, payloads: AsyncIterator[bytes], on_event: OnEvent) -> Ended:
        """Sound as it comes, in pieces of at most a second -> the call's last event.

        Raises RequestError where the service refuses the call, ServiceLostError where it is not to
        be reached.
        """
        feeding = asyncio.create_task(self._feed(payloads))
        try:
            return await self._until_ended(on_event, feeding)
        finally:
            feeding.cancel()

    async def _until_ended(self, on_event: OnEvent, feeding: asyncio.Task[None]) -> Ended:
        loop = asyncio.get_running_loop()
        deadline, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
        while True:
            before = (self._seen, self._first)
            try:
                return await self._connection(on_event, feeding)
            except _BrokenError as broken:
                if (self._seen, self._first) != before:
                    deadline, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
                if loop.time() + wait_s > deadline:
                    raise ServiceLostError(
                        f"{self.url}: {broken}; gave up after {self._patience_s:g} s"
                    ) from None
                self._on_break(str(broken))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _feed(self, payloads: AsyncIterator[bytes]) -> None:
        async for payload in payloads:
            async with self._changed:
                await self._changed.wait_for(self._has_room)
                self._kept.append(payload)
                self._changed.notify_all()
        async with self._changed:
            self._whole = True
            self._changed.notify_all()

    def _has_room(self) -> bool:
        ahead = self._last - self._received
        if ahead <= 0:
            return True
        size = sum(len(payload) for payload in list(self._kept)[-ahead:])
        return size < WINDOW_S * self._sound.sample_rate_hz * self._sound.sample_bytes

    async def _connection(self, on_event: OnEvent, feeding: asyncio.Task[None]) -> Ended:
        """One line, until the call is over or the line breaks."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        self.connections += 1
        try:
            async with connect(self.url, additional_headers=self._headers) as line:
                started = await self._begin(line)
                on_event(started)
                self._next = started.next_frame
                sending = asyncio.create_task(self._send(line))
                try:
                    return await self._listen(line, on_event, feeding)
                finally:
                    sending.cancel()
        except InvalidStatus as refused:
            raise _refusal(refused.response.status_code, bytes(refused.response.body)) from None
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError) as error:
            raise _BrokenError(" ".join(str(error).split()) or type(error).__name__) from None

    async def _begin(self, line: ClientConnection) -> Started:
        start = dict(self._start)
        if self._seen is not None:
            start["resume_from"] = self._seen
        await line.send(json.dumps(start))
        event = read_event(str(await line.recv()))
        if isinstance(event, Failed):
            raise _failure(event)
        if not isinstance(event, Started):
            raise RequestError("live.protocol", f"'{event.type}' before 'started'", status=400)
        self._seen = self._seen or 0
        async with self._changed:
            self._settle(event.next_frame - 1)
            self._received = event.next_frame - 1
            self._changed.notify_all()
        return event

    async def _send(self, line: ClientConnection) -> None:
        from websockets.exceptions import ConnectionClosed

        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(self._has_more)
                    self._next = max(self._next, self._first)
                    over = self._next > self._last
                    payload = b"" if over else self._kept[self._next - self._first]
                if over:
                    await line.send(json.dumps({"type": "end"}))
                    return
                await line.send(frame(self._next, payload))
                self._next += 1
        except ConnectionClosed:
            # Whoever listens sees it too.
            return

    @property
    def _last(self) -> int:
        """Number of the last frame there is."""
        return self._first + len(self._kept) - 1

    def _has_more(self) -> bool:
        return self._whole or self._next <= self._last

    async def _listen(
        self, line: ClientConnection, on_event: OnEvent, feeding: asyncio.Task[None]
    ) -> Ended:
        while True:
            event = read_event(str(await line.recv()))
            if feeding.done() and not feeding.cancelled() and feeding.exception() is not None:
                feeding.result()
            self._seen = max(self._seen or 0, event.seq)
            if isinstance(event, Ack):
                async with self._changed:
                    self._settle(event.frame)
                    self._received = event.received
                    self._changed.notify_all()
            if isinstance(event, Failed) and event.start_s is None:
                raise _failure(event)
            on_event(event)
            if isinstance(event, Ended):
                return event

    def _settle(self, number: int) -> None:
        while self._kept and self._first <= number:
            self._kept.popleft()
            self._first += 1


def live_url(url: str) -> str:
    """The address of live calls where an address of the service is given."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    path = parts.path if parts.path.strip("/") else "/v1/live"
    return urlunsplit((scheme, parts.netloc, path, "", ""))


async def paced(
    samples: Samples, rate_hz: int, speed: float = 1.0, frame_s: float = 0.1
) -> AsyncIterator[bytes]:
    """Samples (n,) as pcm16, `speed` times as fast as they were spoken; 0: as fast as can be."""
    loop = asyncio.get_running_loop()
    begun, size = loop.time(), max(1, round(frame_s * rate_hz))
    for at in range(0, len(samples), size):
        if speed > 0:
            await asyncio.sleep(max(0.0, begun + at / rate_hz / speed - loop.time()))
        part = np.clip(np.rint(samples[at : at + size] * 32_768), -32_768, 32_767)
        yield part.astype("<i2").tobytes()


def _failure(event: Failed) -> Exception:
    error = event.error
    if event.resumable:
        return _BrokenError(f"{error.code}: {error.message}")
    return RequestError(error.code, error.message, field=error.field, fix=error.fix)


def _refusal(status: int, body: bytes) -> Exception:
    try:
        error = json.loads(body)["error"]
        code, message, fix = str(error["code"]), str(error["message"]), str(error["fix"])
    except (ValueError, KeyError, TypeError):
        code, message, fix = "live.refused", f"the service answered {status}", ""
    if status in _PASSING:
        return _BrokenError(f"{code}: {message}")
    return RequestError(code, message, status=status, fix=fix)
