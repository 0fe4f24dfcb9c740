"""What waits for the phone: events in order, the robot's sound, which may be dropped."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from persona_ray.errors import RequestError
from persona_ray.serving.live.protocol import Ack
from persona_ray.serving.screening.protocol import Clear

if TYPE_CHECKING:
    from collections.abc import Callable

    from persona_ray.serving.screening.protocol import CallEventOut

# Sound comes as fast as it sounds: of a client that reads nothing for so long none is kept.
_MOST_FRAMES = 250


class Outbox:
    """At most `size` events. Of acknowledgements only the last one waits."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[CallEventOut | bytes] = deque()
        self._events = 0
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, event: CallEventOut) -> None:
        """Raises RequestError (429) where events find no room: the client is too slow."""
        if isinstance(event, Ack):
            self._keep(lambda one: not isinstance(one, Ack))
        if self._events >= self._size:
            if isinstance(event, Ack):
                return
            raise RequestError(
                "live.slow",
                f"{self._size} events wait to be read",
                status=429,
                fix="read events as they come; connect again with resume_from",
            )
        self._add(event)
        self._events += 1

    def play(self, frame: bytes) -> None:
        """A frame of sound; where too many wait it is dropped."""
        if len(self._waiting) - self._events < _MOST_FRAMES:
            self._add(frame)

    def clear(self, seq: int) -> None:
        """No more of the sound that waits; what was sent is not to be played."""
        self._keep(lambda one: not isinstance(one, bytes))
        self.put(Clear(seq=seq))

    def close(self) -> None:
        """Nothing more will be put."""
        self._closed = True
        self._changed.set()

    async def get(self) -> CallEventOut | bytes | None:
        """The next event or frame; None where there are none and none will come."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        found = self._waiting.popleft()
        self._events -= not isinstance(found, bytes)
        return found

    def rest(self) -> list[CallEventOut]:
        """Events that were not got."""
        rest = [one for one in self._waiting if not isinstance(one, bytes)]
        self._waiting.clear()
        self._events = 0
        return rest

    def _add(self, one: CallEventOut | bytes) -> None:
        self._waiting.append(one)
        self._changed.set()

    def _keep(self, wanted: Callable[[CallEventOut | bytes], bool]) -> None:
        self._waiting = deque(one for one in self._waiting if wanted(one))
        self._events = sum(not isinstance(one, bytes) for one in self._waiting)
