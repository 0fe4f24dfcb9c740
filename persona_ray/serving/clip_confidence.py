"""How sure the served model is of clips: what annotators should hear first.

Clips are judged beside the requests, a few at a time, when somebody asks for the least certain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from persona_ray.errors import PersonaRayError, ServiceBusyError, ServiceLostError
from persona_ray.types import NothingUsable, Recognition
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.inference.clips import ClipInput
    from persona_ray.serving.service import PersonalityService
    from persona_ray.types import ClipInfo

# Small batches leave room for those who wait for an answer.
_CLIPS_AT_ONCE = 8
_BUSY_WAIT_S = 2.0

ReadClips = Callable[[Sequence[str]], "list[ClipInput]"]


class ClipConfidence:
    """Highest probability by clip, of the model that is served now."""

    def __init__(self, personality: PersonalityService) -> None:
        self._personality = personality
        self._known: dict[str, Recognition | NothingUsable] = {}
        self._task: asyncio.Task[None] | None = None
        self._of = ("", "", "")

    def of(self, clip_id: str) -> float | None:
        """None where the clip is not judged yet, or the model can make nothing of it."""
        result = self._known.get(clip_id)
        return _highest(result) if isinstance(result, Recognition) else None

    def least_certain(self, infos: Iterable[ClipInfo]) -> list[ClipInfo]:
        """First what the model can make nothing of, then the less certain; what is not judged yet
        comes last, and of equals the first given."""
        return sorted(infos, key=self._rank)

    def _rank(self, info: ClipInfo) -> tuple[int, float]:
        result = self._known.get(info.clip_id)
        if result is None:
            return 2, 0.0
        return (1, _highest(result)) if isinstance(result, Recognition) else (0, 0.0)

    def known(self, clip_ids: Sequence[str]) -> int:
        """How many of them are judged."""
        return sum(clip_id in self._known for clip_id in clip_ids)

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def ensure(self, clip_ids: Sequence[str], read: ReadClips, corpus: str) -> None:
        """Begin to judge those of them that are not; does not wait. What another model, or this
        one of another corpus, said is forgotten."""
        model = await self._personality.model()
        of = (model.name, model.version, corpus)
        if of != self._of:
            if self._task is not None:
                self._task.cancel()
            self._known, self._of, self._task = {}, of, None
        missing = [clip_id for clip_id in clip_ids if clip_id not in self._known]
        if missing and not self.running:
            self._task = asyncio.create_task(self._judge(missing, read, self._known))

    async def _judge(
        self, clip_ids: Sequence[str], read: ReadClips, into: dict[str, Recognition | NothingUsable]
    ) -> None:
        for start in range(0, len(clip_ids), _CLIPS_AT_ONCE):
            part = clip_ids[start : start + _CLIPS_AT_ONCE]
            try:
                inputs = await asyncio.to_thread(read, part)
                answered = await self._ask(inputs)
            except (PersonaRayError, KeyError) as error:
                # Whoever asks next begins anew.
                log_exception("clips for annotators were not judged", error)
                return
            into.update(zip(part, answered, strict=True))

    async def _ask(self, inputs: list[ClipInput]) -> list[Recognition | NothingUsable]:
        while True:
            try:
                answered = await self._personality.clips(inputs)
            except (ServiceBusyError, ServiceLostError):
                await asyncio.sleep(_BUSY_WAIT_S)
                continue
            return [clip.result for clip in answered.result]


def _highest(result: Recognition) -> float:
    return max(result.probabilities.values())
