"""Who has something to hear: one look at the store for all devices of a replica."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.store.assist.pushes import PushRepository

# What another replica has written is seen after so long; what this one has, at once.
_LOOK_EVERY_S = 0.2
# Whom nothing is kept from.
EVERYBODY = ""


class News:
    """Wakes who listens. `woken` is set by whoever has written something in this process."""

    def __init__(self, pushes: PushRepository, woken: asyncio.Event) -> None:
        self._pushes = pushes
        self._woken = woken
        self._listening: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def listening(self, agent_id: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever there may be news for an agent, or for EVERYBODY."""
        come = asyncio.Event()
        self._listening[agent_id].add(come)
        try:
            yield come
        finally:
            self._listening[agent_id].discard(come)
            if not self._listening[agent_id]:
                del self._listening[agent_id]

    async def run(self) -> None:
        """Until cancelled."""
        last: int | None = None
        while True:
            try:
                if last is None:
                    last = await asyncio.to_thread(self._pushes.newest)
                last, agents = await asyncio.to_thread(self._pushes.news, last)
                for agent_id in (*agents, EVERYBODY) if agents else ():
                    for come in self._listening.get(agent_id, ()):
                        come.set()
            except Exception as error:
                # It goes on: nobody else wakes the devices.
                log_exception("devices wait for the database", error)
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._woken.wait()
            except TimeoutError:
                continue
            self._woken.clear()
