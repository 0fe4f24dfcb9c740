"""The client's side of a line of numbered frames: it keeps what is not settled, and comes again
when the line breaks. Live calls and screened calls add where their sound comes from."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import SplitResult, urlsplit

from persona_ray.errors import RequestError, ServiceLostError
from persona_ray.serving.live.frames import frame
from persona_ray.serving.live.protocol import WINDOW_S, Ack, Begun, Event, Failed
from persona_ray.serving.trust import distrust, of_line

if TYPE_CHECKING:
    import ssl

    from websockets.asyncio.client import ClientConnection

    from persona_ray.serving.live.protocol import Sound

_FIRST_WAIT_S = 0.1
# Statuses of a refused connection after which it is worth coming again.
_PASSING = frozenset({408, 429, 500, 502, 503, 504})

EventT = TypeVar("EventT", bound=Event)
EndedT = TypeVar("EndedT", bound=Event)


class _BrokenError(Exception):
    """The line broke; the call goes on over another."""


class LineClient(Generic[EventT, EndedT]):
    """One call. `start`: its first message. `read` makes an event of a text, `ended` is the last
    one's class. `patience_s`: how long it tries to come again without getting anywhere, at most
    every `longest_wait_s`. `on_break` is told why there is no line, each time. `trust`: whose
    certificates count (`serving.trust`); None: those that the machine trusts."""

    def __init__(
        self,
        url: str,
        start: Mapping[str, Any],
        *,
        read: Callable[[str], EventT],
        ended: type[EndedT],
        key: str,
        patience_s: float,
        longest_wait_s: float,
        on_break: Callable[[str], None] = lambda _: None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.url = url
        self._tls = of_line(url, trust)
        self.connections = 0
        self._start = {"type": "start", **start}
        self._read = read
        self._ended = ended
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._patience_s = patience_s
        self._longest_wait_s = longest_wait_s
        self._on_break = on_break
        # Frames after the last settled one, by number from `_first` on; `_whole`: none will come.
        self._kept: deque[bytes] = deque()
        self._first = 1
        self._whole = False
        # Texts in the order in which they go, each before the frame of its number.
        self._texts: list[tuple[int, str]] = []
        self._seen: int | None = None
        self._received = 0
        self._changed = asyncio.Condition()

    async def _stream(
        self,
        feed: Coroutine[Any, Any, None],
        on_event: Callable[[EventT], None],
    ) -> EndedT:
        """Frames as `feed` keeps them -> the call's last event.

        Raises RequestError where the service refuses the call, ServiceLostError where it is not to
        be reached, and what `feed` raises.
        """
        feeding = asyncio.create_task(feed)
        try:
            return await self._until_ended(feeding, on_event)
        finally:
            feeding.cancel()

    async def _until_ended(
        self,
        feeding: asyncio.Task[None],
        on_event: Callable[[EventT], None],
    ) -> EndedT:
        loop = asyncio.get_running_loop()
        deadline, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
        while True:
            before = (self._seen, self._first)
            try:
                return await self._connection(feeding, on_event)
            except _BrokenError as broken:
                if (self._seen, self._first) != before:
                    deadline, wait_s = loop.time() + self._patience_s, _FIRST_WAIT_S
                if loop.time() + wait_s > deadline:
                    raise ServiceLostError(
                        f"{self.url}: {broken}; gave up after {self._patience_s:g} s"
                    ) from None
                self._on_break(str(broken))
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._longest_wait_s)

    async def _connection(
        self,
        feeding: asyncio.Task[None],
        on_event: Callable[[EventT], None],
    ) -> EndedT:
        """One line, until the call is over or the line breaks."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

        self.connections += 1
        try:
            async with connect(self.url, additional_headers=self._headers, ssl=self._tls) as line:
                sending = asyncio.create_task(self._send(line, await self._begin(line, on_event)))
                try:
                    return await self._listen(line, feeding, on_event)
                finally:
                    sending.cancel()
        except InvalidStatus as refused:
            raise _refusal(refused.response.status_code, bytes(refused.response.body)) from None
        except (ConnectionClosed, InvalidHandshake, OSError, TimeoutError, EOFError) as error:
            refusal = distrust(self.url, error)
            if refusal is not None:
                raise refusal from None
            raise _BrokenError(" ".join(str(error).split()) or type(error).__name__) from None

    async def _begin(self, line: ClientConnection, on_event: Callable[[EventT], None]) -> int:
        """The number of the first frame that the service wants."""
        start = dict(self._start)
        if self._seen is not None:
            start["resume_from"] = self._seen
        await line.send(json.dumps(start))
        event = self._read(str(await line.recv()))
        if isinstance(event, Failed):
            raise _failure(event)
        if not isinstance(event, Begun):
            raise RequestError(
                "live.protocol", f"'{type(event).__name__}' before 'started'", status=400
            )
        self._seen = self._seen or 0
        await self._settle(event.next_frame - 1, event.next_frame - 1)
        on_event(event)
        return max(event.next_frame, self._first)

    async def _send(self, line: ClientConnection, number: int) -> None:
        """Frames from `number` on, as they come, and the end after the last."""
        from websockets.exceptions import ConnectionClosed

        # What was said between frames that are sent again is said again.
        said = sum(before < number for before, _ in self._texts)
        try:
            while True:
                payload = await self._frame(number)
                while said < len(self._texts) and self._texts[said][0] <= number:
                    await line.send(self._texts[said][1])
                    said += 1
                if payload is None:
                    break
                await line.send(frame(number, payload))
                number += 1
            await line.send(json.dumps({"type": "end"}))
        except ConnectionClosed:
            # Whoever listens sees it too.
            return

    async def _frame(self, number: int) -> bytes | None:
        """Frame `number`, once it is there; None where the sound ends before it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._whole or number <= self._last)
            # Only what was sent is settled, so it is among those that are kept.
            return None if number > self._last else self._kept[number - self._first]

    @property
    def _last(self) -> int:
        """Number of the last frame there is."""
        return self._first + len(self._kept) - 1

    async def _listen(
        self,
        line: ClientConnection,
        feeding: asyncio.Task[None],
        on_event: Callable[[EventT], None],
    ) -> EndedT:
        while True:
            message = await line.recv()
            if feeding.done() and not feeding.cancelled():
                feeding.result()
            if isinstance(message, bytes):
                self._hear(message)
                continue
            event = self._read(message)
            self._seen = max(self._seen or 0, event.seq)
            if isinstance(event, Ack):
                await self._settle(event.frame, event.received)
            if isinstance(event, Failed) and event.start_s is None:
                raise _failure(event)
            on_event(event)
            if isinstance(event, self._ended):
                return event

    def _say(self, message: Mapping[str, Any]) -> None:
        """A text message, behind the frames that there are."""
        self._texts.append((self._last + 1, json.dumps(message)))

    def _hear(self, message: bytes) -> None:
        """A frame of the service, with its header; there are none on a line that only listens."""

    async def _settle(self, number: int, received: int) -> None:
        async with self._changed:
            while self._kept and self._first <= number:
                self._kept.popleft()
                self._first += 1
            self._received = received
            self._changed.notify_all()


class StreamClient(LineClient[EventT, EndedT]):
    """One whose sound comes from elsewhere."""

    def __init__(self, url: str, start: Mapping[str, Any], sound: Sound, **options: Any) -> None:
        """`options`: as `LineClient` has them."""
        super().__init__(url, {**start, **sound.model_dump()}, **options)
        self._sound = sound

    async def stream(
        self, payloads: AsyncIterator[bytes], on_event: Callable[[EventT], None]
    ) -> EndedT:
        """Sound as it comes, in pieces of at most a second -> the call's last event.

        Raises RequestError where the service refuses the call, ServiceLostError where it is not to
        be reached.
        """
        return await self._stream(self._feed(payloads), on_event)

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


def websocket(url: str) -> SplitResult:
    """An address of the service, with or without its scheme, as that of a WebSocket."""
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    return parts._replace(scheme=scheme, query="", fragment="")


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
