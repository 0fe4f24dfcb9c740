"""The models of screening on Ray Serve: a deployment that holds some of them or all, and the seams
over its handles."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from persona_ray.errors import PersonaRayError, ServiceError
from persona_ray.serving.deployed import Chain, answer_of
from persona_ray.serving.replica import use_threads
from persona_ray.serving.stages import Failed

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle

    from persona_ray.config import RunConfig
    from persona_ray.config.serving import ScaleConfig
    from persona_ray.inference.screening.records import (
        CategoryJudgement,
        Channel,
        Standing,
        Turn,
        VoiceVerdict,
    )
    from persona_ray.inference.screening.seams import Categories, Ears, Mouth, Robot
    from persona_ray.types import Samples

T = TypeVar("T")

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


# Loads the parts that are wanted; called once in each replica, before it answers.
BuildModels = Callable[["RunConfig", Collection[str]], Models]


class ScreeningModels:
    """A replica. Each method is one of a seam, and gives what went wrong instead of raising it:
    Ray would wrap it."""

    def __init__(
        self,
        config: RunConfig,
        scale: ScaleConfig,
        build: BuildModels,
        wanted: Collection[str],
    ) -> None:
        use_threads(scale.threads)
        self._models = build(config, wanted)
        if self._models.prepare is not None:
            # Ray calls constructors on the replica's event loop.
            self._preparing = asyncio.create_task(self._models.prepare())

    async def names(self) -> dict[str, str]:
        """Name and version by part."""
        return dict(self._models.names)

    async def text(self, samples: Samples, rate_hz: int) -> str | Failed:
        ears = _there(self._models.ears, EARS)
        return await _tried(ears.text(samples, rate_hz))

    async def whose(
        self, samples: Samples, rate_hz: int, channel: Channel
    ) -> VoiceVerdict | Failed:
        voices = _there(self._models.voices, VOICES)
        return await _tried(voices.whose(samples, rate_hz, channel))

    async def learn(self, samples: Samples, rate_hz: int, seen: VoiceSeen) -> bool | Failed:
        voices = _there(self._models.voices, VOICES)
        return await _tried(voices.learn(samples, rate_hz, seen))

    async def judge(self, turns: Sequence[Turn]) -> CategoryJudgement | Failed:
        return await _tried(_there(self._models.categories, CATEGORIES).judge(turns))

    async def answer(
        self, turns: Sequence[Turn], judgement: CategoryJudgement | None
    ) -> str | Failed:
        return await _tried(_there(self._models.robot, ROBOT).answer(turns, judgement))

    async def speak(self, text: str) -> tuple[Samples, int] | Failed:
        return await _tried(_there(self._models.mouth, MOUTH).speak(text))


class DeployedModels:
    """Implements the seams `Ears`, `Voices`, `Categories`, `Robot` and `Mouth` by handles of
    deployments. What a replica died of is asked once more. Raises ServiceBusyError,
    ServiceLostError, and what the models raise."""

    def __init__(self, handles: Mapping[str, DeploymentHandle]) -> None:
        """`handles`: by part."""
        self._handles = handles

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

    async def names(self) -> dict[str, str]:
        """Name and version of every model, by part."""
        found: dict[str, str] = {}
        asked: list[DeploymentHandle] = []
        for part in PARTS:
            handle = self._handles[part]
            if handle not in asked:
                asked.append(handle)
                found |= await answer_of(partial(_begun, handle, "names", ()))
        return found

    async def _ask(self, part: str, method: str, *asked: Any) -> Any:
        found = await answer_of(partial(_begun, self._handles[part], method, asked))
        if isinstance(found, Failed):
            raise found.error
        return found


def _begun(handle: DeploymentHandle, method: str, asked: tuple[Any, ...]) -> Chain:
    return Chain(getattr(handle, method).remote(*asked))


def _there(model: T | None, part: str) -> T:
    if model is None:
        raise ServiceError(f"this deployment does not hold {part}")
    return model


async def _tried(asked: Awaitable[T]) -> T | Failed:
    try:
        return await asked
    except PersonaRayError as error:
        return Failed(error)
