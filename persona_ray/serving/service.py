"""The seam between routes and models: what routes ask, whoever answers it.

`LocalService` answers in this process, `DeployedService` by deployments on Ray Serve; a test may
put its own in their place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.inference.clips import (
        CallRecognition,
        ClipInput,
        ClipRecognition,
        SentenceRecognition,
    )
    from persona_ray.types import Samples


@dataclass(frozen=True, slots=True)
class ServedModel:
    """`name` and `version` as the registry has them; a bundle that is none of its versions is
    known by its fingerprint. `sample_rate_hz`: the rate that recordings are converted to.
    `digest`: that of its bundle.json, empty where there is no bundle."""

    name: str
    version: str
    labels: tuple[str, ...]
    hears: bool
    reads: bool
    sample_rate_hz: int
    digest: str = ""


ResultT = TypeVar("ResultT")

# Stages of an answer, as `Answered.timings_s`, answers and metrics name them. `JUDGING` is all of
# the model; where its parts are apart, they are `SPEECH`, `TEXT` and `CLASSIFYING`.
READING, HEARING, JUDGING, TOTAL = "reading", "hearing", "judging", "total"
SPEECH, TEXT, CLASSIFYING = "speech", "text", "classifying"


@dataclass(frozen=True, slots=True)
class Answered(Generic[ResultT]):
    """A result, the model that gave it, and how long each stage took, in seconds."""

    result: ResultT
    model: ServedModel
    timings_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recording:
    """A whole call: the bytes of an audio file, or where they lie (any fsspec URI).

    `channel`: the customer's, from 0.
    """

    name: str
    channel: int
    data: bytes | None = None
    uri: str = ""


class PersonalityService(Protocol):
    """Whose colour is it. Raises the errors that inference raises (CallError, RecognitionError),
    ServiceBusyError where a queue is full, ServiceLostError where a replica died twice."""

    async def model(self) -> ServedModel:
        """The model that answers now."""
        ...

    async def clips(self, clips: Sequence[ClipInput]) -> Answered[list[ClipRecognition]]:
        """Each clip by itself, in the order given; text is recognised where it is not given."""
        ...

    async def call(self, recording: Recording) -> Answered[CallRecognition]:
        """A whole call, cut into the customer's sentences."""
        ...

    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        """Of a live call: what was said between two pauses, cut into sentences as a recorded call
        is. `speech` and times are in seconds from the start of `samples` (n,)."""
        ...

    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        """What is said in samples (n,); for partial texts, which no colour is given to."""
        ...
