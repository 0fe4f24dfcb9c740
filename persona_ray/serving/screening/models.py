"""The seams of screening over its parts: in this process, or deployments on Ray Serve."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.serving.deploy.parts import WHOLE, AskedParts, PartsGraph

if TYPE_CHECKING:
    from ray.serve import Application

    from persona_ray.config import RunConfig
    from persona_ray.inference.screening.records import (
        CategoryJudgement,
        Channel,
        Standing,
        Turn,
        VoiceVerdict,
    )
    from persona_ray.inference.screening.seams import Categories, Ears, Mouth, Robot
    from persona_ray.serving.deploy.parts import BuildParts, MakeApp
    from persona_ray.types import Samples

EARS, VOICES, CATEGORIES, ROBOT, MOUTH = "ears", "voices", "categories", "robot", "mouth"
PARTS = (EARS, VOICES, CATEGORIES, ROBOT, MOUTH)


@dataclass(frozen=True, slots=True)
class VoiceSeen:
    """A voice to learn: what call (`key`, which names no person) it is of, and what it was."""

    key: str
    channel: Channel
    standing: Standing
    category: str


class LearningVoices(Protocol):
    """The voice libraries, which can be added to."""

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """See Voices."""
        ...

    async def learn(self, samples: Samples, rate_hz: int, seen: VoiceSeen) -> bool:
        """Add the voice in samples (n,) of one caller, after a check for duplicates; False where
        too little is said. The same call again changes nothing more."""
        ...


@dataclass(frozen=True, slots=True)
class Models:
    """Those that a replica holds; None: another deployment's. `names`: name and version by part,
    as verdicts have them. `prepare`: work that a replica does beside its first calls."""

    names: Mapping[str, str]
    ears: Ears | None = None
    voices: LearningVoices | None = None
    categories: Categories | None = None
    robot: Robot | None = None
    mouth: Mouth | None = None
    prepare: Callable[[], Coroutine[Any, Any, object]] | None = None

    @property
    def parts(self) -> Mapping[str, object]:
        return {
            EARS: self.ears,
            VOICES: self.voices,
            CATEGORIES: self.categories,
            ROBOT: self.robot,
            MOUTH: self.mouth,
        }


class AskedModels(AskedParts):
    """Implements the seams `Ears`, `Voices`, `Categories`, `Robot` and `Mouth`."""

    async def text(self, samples: Samples, rate_hz: int) -> str:
        """See Ears."""
        return str(await self._ask(EARS, "text", samples, rate_hz))

    async def whose(self, samples: Samples, rate_hz: int, channel: Channel) -> VoiceVerdict:
        """See Voices."""
        found: VoiceVerdict = await self._ask(VOICES, "whose", samples, rate_hz, channel)
        return found

    async def learn(self, samples: Samples, rate_hz: int, seen: VoiceSeen) -> bool:
        """See LearningVoices."""
        return bool(await self._ask(VOICES, "learn", samples, rate_hz, seen))

    async def judge(self, turns: Sequence[Turn]) -> CategoryJudgement:
        """See Categories."""
        found: CategoryJudgement = await self._ask(CATEGORIES, "judge", tuple(turns))
        return found

    async def answer(self, turns: Sequence[Turn], judgement: CategoryJudgement | None) -> str:
        """See Robot."""
        return str(await self._ask(ROBOT, "answer", tuple(turns), judgement))

    async def speak(self, text: str) -> tuple[Samples, int]:
        """See Mouth."""
        samples, rate_hz = await self._ask(MOUTH, "speak", text)
        return samples, rate_hz


def screening_application(
    config: RunConfig, build: BuildParts, make_app: MakeApp, version: str = ""
) -> Application:
    """All deployments of a configuration, bound; see `PartsGraph`."""
    parts = config.screening.parts
    scales = {
        EARS: parts.ears,
        VOICES: parts.voices,
        CATEGORIES: parts.categories,
        ROBOT: parts.robot,
        MOUTH: parts.mouth,
    }
    if parts.layout == "whole":
        scales = {WHOLE: parts.whole}
    return PartsGraph(config, build, PARTS, scales, version).application(make_app, AskedModels)
