"""What speaks the robot's answers: each is made once, and kept."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from persona_ray.errors import SynthesisError
from persona_ray.inference.screening.speaking import pieces
from persona_ray.tts.base import Voice

if TYPE_CHECKING:
    from persona_ray.config.screening import DialogueConfig
    from persona_ray.tts.base import Synthesizer
    from persona_ray.types import Samples

    Spoken = tuple[Samples, int]

VOICE = Voice("assistant", "female")
_TRIAL = "您好。"
_log = logging.getLogger(__name__)


class SpeakingMouth:
    """Implements the seam `Mouth` over a synthesiser.

    Answers are few and the same for all calls: the last `kept` of them stay in memory, by text.
    Calls that want the same one at once wait for one synthesis. The samples are shared, and
    read-only.
    """

    def __init__(self, synthesizer: Synthesizer, voice: Voice, speed: float, kept: int) -> None:
        """`speed` is a ratio, `kept` a number of answers."""
        self.name = synthesizer.name
        self._synthesizer = synthesizer
        self._voice = voice
        self._speed = speed
        self._kept = kept
        self._spoken: OrderedDict[str, Spoken] = OrderedDict()
        self._making: dict[str, asyncio.Task[Spoken]] = {}
        # Engines are not said to be safe in threads.
        self._turn = asyncio.Lock()

    async def speak(self, text: str) -> Spoken:
        """`text` as mono samples (n,) in [-1, 1], and their rate in Hz. Raises SynthesisError."""
        known = self._spoken.get(text)
        if known is not None:
            self._spoken.move_to_end(text)
            return known
        task = self._making.get(text)
        if task is None:
            task = asyncio.create_task(self._make(text))
            self._making[text] = task
            task.add_done_callback(lambda done: self._made(text, done))
        # A call that ends while it waits must not take the answer from the others that wait.
        return await asyncio.shield(task)

    async def prepare(self, texts: Iterable[str]) -> int:
        """Speak `texts` ahead of any call, in pieces as calls ask for them, as many as are kept;
        how many of these have a sound now. A call that asks meanwhile waits for one piece at most.
        """
        ahead = list(dict.fromkeys(piece for text in texts for piece in pieces(text)))
        made = 0
        for piece in ahead[: self._kept]:
            try:
                await self.speak(piece)
            except SynthesisError as error:
                # The call that needs it is told; the others have theirs.
                _log.warning("a piece of the dialogue set has no sound: %s", error)
            else:
                made += 1
        return made

    async def _make(self, text: str) -> Spoken:
        async with self._turn:
            samples, rate_hz = await asyncio.to_thread(
                self._synthesizer.synthesize, text, self._voice, self._speed
            )
        samples.flags.writeable = False
        return samples, rate_hz

    def _made(self, text: str, task: asyncio.Task[Spoken]) -> None:
        self._making.pop(text, None)
        # Who waits hears of errors; where nobody does any more, asking keeps asyncio quiet.
        if task.cancelled() or task.exception() is not None:
            return
        self._spoken[text] = task.result()
        while len(self._spoken) > self._kept:
            self._spoken.popitem(last=False)


def build_mouth(config: DialogueConfig) -> SpeakingMouth:
    """The mouth of screening.dialogue.voice. It says a word before any call: what is missing
    (espeak-ng, Kokoro's voices) is told here, as a SynthesisError with the way to get it."""
    synthesizer, named = _synthesizer(config), f"screening.dialogue.voice = {config.voice}"
    try:
        samples, _ = synthesizer.synthesize(_TRIAL, VOICE, config.speed)
    except SynthesisError as error:
        raise SynthesisError(f"{named} cannot speak: {error}") from None
    if not samples.size:
        raise SynthesisError(f"{named} is silent: set another voice")
    return SpeakingMouth(synthesizer, VOICE, config.speed, config.spoken)


def _synthesizer(config: DialogueConfig) -> Synthesizer:
    if config.voice == "kokoro":
        from persona_ray.tts.kokoro import KokoroSynthesizer

        return KokoroSynthesizer(config.voices_folder)
    if config.voice == "tone":
        from persona_ray.tts.tone import ToneSynthesizer

        return ToneSynthesizer()
    from persona_ray.tts.espeak import EspeakSynthesizer

    try:
        return EspeakSynthesizer()
    except SynthesisError as error:
        raise SynthesisError(
            f"screening.dialogue.voice = espeak: {error}, or set it to kokoro, or "
            "screening.dialogue.enabled to false: then the robot only listens"
        ) from None
