"""Where an assisted call is: its client tells it over the call's line, a device of its agent by the
store, since another replica may hold the call."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from persona_ray.conversation import Scene
from persona_ray.serving.assist.scenes import told

if TYPE_CHECKING:
    from persona_ray.store.assist.calls import AssistCallRepository
    from persona_ray.store.assist.records import AssistCall


class Whereabouts:
    """`named`: as it was told last; the mind gets there once what was said before is settled."""

    def __init__(self, calls: AssistCallRepository, record: AssistCall, scene: Scene) -> None:
        self._calls = calls
        self._record = record
        self._stored = told(scene)
        self.named = scene

    async def looked_up(self) -> Scene | None:
        """Where a device says that the call is; None: no device has said anything new."""
        stored = dict(await asyncio.to_thread(self._calls.scene, self._record))
        if stored == self._stored:
            return None
        self._stored, self.named = stored, Scene(**stored)
        return self.named

    def to_store(self, scene: Scene) -> dict[str, str] | None:
        """What the store is to note of where the call is settled; None: nothing, so that what a
        device tells meanwhile stays."""
        kept = told(scene)
        if kept == self._stored:
            return None
        self._stored = kept
        return kept
