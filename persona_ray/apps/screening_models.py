"""The models of screening as a configuration names them, loaded for one replica."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from persona_ray.inference.screening.records import NotEnoughSpeech, Origin
from persona_ray.serving.screening.models import CATEGORIES, EARS, MOUTH, ROBOT, VOICES, Models
from persona_ray.store.screening.voice_records import Marking

if TYPE_CHECKING:
    from pathlib import Path

    from persona_ray.config import RunConfig
    from persona_ray.inference.screening.records import Channel, VoiceVerdict
    from persona_ray.inference.screening.voice_library import VoiceLibrary
    from persona_ray.serving.deploy.stages import BundleChoice
    from persona_ray.serving.screening.models import VoiceSeen
    from persona_ray.types import Samples


def load_models(
    config: RunConfig, wanted: Collection[str], bundle: Path, category: BundleChoice
) -> Models:
    """Those of `wanted`. Raises EngineUnavailableError, BundleError, SynthesisError,
    ConfigError."""
    from persona_ray.inference.screening.categories import BundleCategories
    from persona_ray.inference.screening.ears import build_ears
    from persona_ray.inference.screening.mouth import build_mouth
    from persona_ray.inference.screening.robot import build_lines, build_robot

    screening = config.screening
    names: dict[str, str] = {}
    ears = build_ears(config) if EARS in wanted else None
    if ears is not None:
        names[EARS] = ears.name
    voices = load_voices(config) if VOICES in wanted else None
    if voices is not None:
        names[VOICES] = voices.name
    categories = None
    if CATEGORIES in wanted:
        named = f"{category.name} {category.version}"
        categories = BundleCategories.load(bundle, screening.policy, named)
        names[CATEGORIES] = categories.name
    robot = None
    if ROBOT in wanted:
        robot = build_robot(screening.dialogue, screening.policy.categories)
        names[ROBOT] = robot.name
    # A robot that never speaks needs no voice.
    mouth, prepare = None, None
    if _speaks(config, wanted):
        mouth = build_mouth(screening.dialogue)
        names[MOUTH] = mouth.name
        said = build_lines(screening.dialogue, screening.policy.categories).dialogue.spoken()
        prepare = partial(mouth.prepare, tuple(said))
    return Models(names, ears, voices, categories, robot, mouth, prepare)


class LibraryVoices:
    """Implements LearningVoices by the libraries in this process."""

    def __init__(self, library: VoiceLibrary) -> None:
        self._library = library
        self.name = library.model

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """See Voices."""
        return await self._library.whose(samples, rate_hz, channel)

    async def learn(self, samples: Samples, rate_hz: int, seen: VoiceSeen) -> bool:
        """See LearningVoices."""
        return await asyncio.to_thread(self._learn, samples, rate_hz, seen)

    def _learn(self, samples: Samples, rate_hz: int, seen: VoiceSeen) -> bool:
        heard = self._library.printer.hear(samples, rate_hz)
        if isinstance(heard, NotEnoughSpeech):
            return False
        marking = Marking(seen.standing.value, seen.category, Origin.CALL.value)
        self._library.add(heard, seen.key, seen.channel, marking)
        return True


def load_voices(config: RunConfig) -> LibraryVoices:
    """The voice libraries of the configured store, read. Raises EngineUnavailableError,
    ConfigError, StoreError, VaultError."""
    from persona_ray.inference.screening.voice_library import build_voice_library
    from persona_ray.inference.screening.voiceprint import build_voiceprinter
    from persona_ray.store import open_store
    from persona_ray.vault.seal import vault_of

    voice = config.screening.voice
    printer = build_voiceprinter(voice, config.vad)
    store = open_store(config.store_url, vault=vault_of(config))
    library = build_voice_library(voice, printer, store.voices)
    library.catch_up()
    return LibraryVoices(library)


def _speaks(config: RunConfig, wanted: Collection[str]) -> bool:
    return MOUTH in wanted and config.screening.dialogue.enabled
