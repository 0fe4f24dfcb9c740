"""The models of screening as a configuration names them, loaded for one replica."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from persona_ray.inference.screening.records import Channel, VoiceUnknown, VoiceVerdict
from persona_ray.serving.screening.models import CATEGORIES, EARS, MOUTH, ROBOT, VOICES, Models

if TYPE_CHECKING:
    from pathlib import Path

    from persona_ray.config import RunConfig
    from persona_ray.inference.screening.seams import Voices
    from persona_ray.serving.stages import BundleChoice
    from persona_ray.types import Samples

# Turns that one replica recognises at once; they share the recogniser.
_EARS_AT_ONCE = 4


def load_models(
    config: RunConfig, wanted: Collection[str], bundle: Path, category: BundleChoice
) -> Models:
    """Those of `wanted`. Raises EngineUnavailableError, BundleError, SynthesisError,
    ConfigError."""
    from persona_ray.inference.screening.categories import BundleCategories
    from persona_ray.inference.screening.ears import build_ears
    from persona_ray.inference.screening.mouth import build_mouth
    from persona_ray.inference.screening.robot import build_robot

    screening = config.screening
    names: dict[str, str] = {}
    ears = build_ears(config, _EARS_AT_ONCE) if EARS in wanted else None
    if ears is not None:
        names[EARS] = ears.name
    voices = load_voices(config) if VOICES in wanted else None
    if voices is not None:
        names[VOICES] = screening.voice.engine
    categories = None
    if CATEGORIES in wanted:
        named = f"{category.name} {category.version}"
        categories = BundleCategories.load(bundle, named)
        names[CATEGORIES] = categories.name
    robot = None
    if ROBOT in wanted:
        robot = build_robot(screening.dialogue, screening.policy.categories)
        names[ROBOT] = robot.name
    # A robot that never speaks needs no voice.
    mouth = build_mouth(screening.dialogue) if _speaks(config, wanted) else None
    if mouth is not None:
        names[MOUTH] = mouth.name
    return Models(names, ears, voices, categories, robot, mouth)


def load_voices(config: RunConfig) -> Voices:
    """The voice libraries."""
    del config
    return NoLibraries()


class NoLibraries:
    """Knows nobody."""

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """See Voices."""
        del samples, rate_hz, channel
        return VoiceUnknown(None)


def _speaks(config: RunConfig, wanted: Collection[str]) -> bool:
    return MOUTH in wanted and config.screening.dialogue.enabled
