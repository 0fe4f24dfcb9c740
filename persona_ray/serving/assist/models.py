"""The seams of assistance over its parts: in this process, or deployments on Ray Serve."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_ray.serving.deploy.parts import WHOLE, AskedParts, PartsGraph

if TYPE_CHECKING:
    from ray.serve import Application

    from persona_ray.audio.vad import Span
    from persona_ray.config import RunConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.hearing import Heard
    from persona_ray.inference.assist.records import (
        Mood,
        NoSuggestion,
        Sentence,
        SpeechInformation,
        Suggestion,
    )
    from persona_ray.inference.assist.seams import Advisor, Ears
    from persona_ray.serving.deploy.parts import BuildParts, MakeApp
    from persona_ray.types import Samples

EARS, ADVISOR = "ears", "advisor"
# What the models go by in `names`: the advisor has two.
EMOTION, RANKER = "emotion", "ranker"
PARTS = (EARS, ADVISOR)


@dataclass(frozen=True, slots=True)
class Models:
    """Those that a replica holds; None: another deployment's. `names`: name and version of `ears`,
    `emotion` and `ranker`."""

    names: Mapping[str, str]
    ears: Ears | None = None
    advisor: Advisor | None = None
    prepare: Callable[[], Coroutine[Any, Any, object]] | None = None

    @property
    def parts(self) -> Mapping[str, object]:
        return {EARS: self.ears, ADVISOR: self.advisor}


class AskedModels(AskedParts):
    """Implements the seams `Parts`, `Ears` and `Advisor`."""

    @property
    def ears(self) -> Ears:
        return self

    @property
    def advisor(self) -> Advisor:
        return self

    async def hear(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Heard:
        """See Ears."""
        found: Heard = await self._ask(EARS, "hear", samples, rate_hz, tuple(speech))
        return found

    async def mood(self, sentence: Sentence) -> Mood:
        """See Advisor."""
        found: Mood = await self._ask(ADVISOR, "mood", sentence)
        return found

    async def advise(
        self,
        information: SpeechInformation,
        library: ScriptLibrary,
        shown: Mapping[str, int],
        draw: float,
    ) -> Suggestion | NoSuggestion:
        """See Advisor."""
        found: Suggestion | NoSuggestion = await self._ask(
            ADVISOR, "advise", information, library, dict(shown), draw
        )
        return found


def assist_application(
    config: RunConfig, build: BuildParts, make_app: MakeApp, version: str = ""
) -> Application:
    """All deployments of a configuration, bound; see `PartsGraph`."""
    parts = config.assist.parts
    scales = {EARS: parts.ears, ADVISOR: parts.advisor}
    if parts.layout == "whole":
        scales = {WHOLE: parts.whole}
    return PartsGraph(config, build, PARTS, scales, version).application(make_app, AskedModels)
