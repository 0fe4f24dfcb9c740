"""What is being said, before it is settled: texts that later ones, or the sentences, replace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from persona_ray.errors import PersonaRayError
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.serving.live.endpoint import Endpointer, Utterance
    from persona_ray.serving.service import PersonalityService

# Seconds of the call at which the words begin, and the words.
Say = Callable[[float, str], None]


class PartialTexts:
    """Of the utterance that goes on, one at a time. `every_s`: seconds of speech from one to the
    next, 0 for none."""

    def __init__(self, personality: PersonalityService, every_s: float, say: Say) -> None:
        self._personality = personality
        self._every_s = every_s
        self._say = say
        self._task: asyncio.Task[None] | None = None
        # Speech of the utterance when its last text was asked for.
        self._asked_s = 0.0
        self._utterance = 0

    def consider(self, endpointer: Endpointer) -> None:
        """Ask for a text where one is due."""
        if self._every_s == 0 or (self._task is not None and not self._task.done()):
            return
        speech_s = endpointer.speech_s
        if speech_s - self._asked_s < self._every_s:
            return
        so_far = endpointer.so_far()
        if so_far is not None:
            self._asked_s = speech_s
            self._task = asyncio.create_task(self._ask(so_far, self._utterance))

    def utterance_ended(self) -> None:
        """Its sentences come instead."""
        self._utterance += 1
        self._asked_s = 0.0
        self.cancel()

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _ask(self, so_far: Utterance, number: int) -> None:
        try:
            text = await self._personality.text(
                so_far.samples, so_far.sample_rate_hz, so_far.speech
            )
        except PersonaRayError:
            # Nobody waits for it: a full service has better things to do.
            return
        except Exception as error:
            log_exception("partial text failed", error)
            return
        if text and number == self._utterance:
            self._say(round(so_far.start_s + so_far.speech[0].start_s, 3), text)
