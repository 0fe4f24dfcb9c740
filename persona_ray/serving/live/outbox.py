"""Events that wait for a client."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from persona_ray.errors import RequestError
from persona_ray.serving.live.protocol import Ack, Event, Partial

EventT = TypeVar("EventT", bound=Event)


class Outbox(Generic[EventT]):
    """At most `size` events. Of partial texts and acknowledgements only the last one waits; where
    results alone are too many, the client is too slow."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[EventT] = deque()
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, event: EventT) -> None:
        """Raises RequestError (429) where results find no room: the client is too slow."""
        passing = isinstance(event, Partial | Ack)
        if passing:
            self._drop(type(event))
        if len(self._waiting) >= self._size:
            self._drop(Partial)
        if len(self._waiting) >= self._size:
            if passing:
                return
            raise RequestError(
                "live.slow",
                f"{self._size} events wait to be read",
                status=429,
                fix="read events as they come; connect again with resume_from",
            )
        self._waiting.append(event)
        self._changed.set()

    def close(self) -> None:
        """Nothing more will be put."""
        self._closed = True
        self._changed.set()

    async def get(self) -> EventT | None:
        """The next event; None where there are none and none will come."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        return self._waiting.popleft()

    def rest(self) -> list[EventT]:
        """What was not got."""
        rest = list(self._waiting)
        self._waiting.clear()
        return rest

    def _drop(self, kind: type[Event]) -> None:
        for event in self._waiting:
            if isinstance(event, kind):
                self._waiting.remove(event)
                return
