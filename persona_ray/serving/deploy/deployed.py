"""The service by deployments on Ray Serve, asked by their handles.

Responses go from deployment to deployment without being awaited here, so that audio passes the
ingress once. A request is repeated once when a replica died under it: every one may be, for nothing
is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ray.exceptions import ObjectLostError, RayActorError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    ReplicaUnavailableError,
)

from persona_ray.errors import ServiceBusyError, ServiceError, ServiceLostError
from persona_ray.inference.clips import ClipRecognition
from persona_ray.inference.personality import summed_up
from persona_ray.serving.deploy.stages import Failed, Heard, Judged, Stale
from persona_ray.serving.service import Answered
from persona_ray.watch.logs import log_event
from persona_ray.watch.spans import carried

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle, DeploymentResponse

    from persona_ray.audio.vad import Span
    from persona_ray.inference.clips import CallRecognition, ClipInput, SentenceRecognition
    from persona_ray.serving.service import Recording, ServedModel
    from persona_ray.types import Samples

T = TypeVar("T")
# Methods of `Asr` that give clips.
Step = Literal["call", "utterance", "clips"]

# While a bundle is swapped, deployments that are apart disagree for as long as they load.
_SWAP_S = 120.0
_SWAP_STEP_S = 0.2
_TRIES = 2
# No answer for so long: perhaps one of the deployments before the last one has died.
_LONG_S = 10.0
# An answer so young says which model there is, without a hop of its own.
_MODEL_AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class Chain:
    """A response, and those that it waits for."""

    last: DeploymentResponse
    before: Sequence[DeploymentResponse] = ()

    def cancel(self) -> None:
        """Nobody waits for it any more: what has not begun need not."""
        for response in (self.last, *self.before):
            # It raises what the response ended with before it was cancelled, such as a full queue.
            with suppress(Exception):
                response.cancel()


@dataclass(frozen=True, slots=True)
class Handles:
    """Of the deployments: `whole`, which is its own `asr`, or `fused`, or `classifier` and the
    towers that the model has."""

    asr: DeploymentHandle
    whole: DeploymentHandle | None = None
    fused: DeploymentHandle | None = None
    speech: DeploymentHandle | None = None
    text: DeploymentHandle | None = None
    classifier: DeploymentHandle | None = None

    @property
    def judge(self) -> DeploymentHandle:
        """Whoever says which model answers."""
        found = self.whole or self.fused or self.classifier
        if found is None:
            raise ServiceError("no deployment judges: name a whole or fused one, or a classifier")
        return found

    def heard_and_judged(self, step: Step, *asked: Any) -> Chain:
        """The chain that hears by a method of `Asr` and judges, begun and not awaited."""
        if self.whole is not None:
            return Chain(getattr(self.whole, f"judged_{step}").remote(*asked, place=carried()))
        return self.judged(getattr(self.asr, step).remote(*asked, place=carried()))

    def judged(self, heard: DeploymentResponse | Heard) -> Chain:
        """The chain from `heard` on, begun and not awaited."""
        begun = [] if isinstance(heard, Heard) else [heard]
        if self.speech is None and self.text is None:
            return Chain(self.judge.judge.remote(heard, place=carried()), begun)
        place = carried()
        speech = None if self.speech is None else self.speech.vectors.remote(heard, place=place)
        text = None if self.text is None else self.text.vectors.remote(heard, place=place)
        begun += [tower for tower in (speech, text) if tower is not None]
        return Chain(self.judge.judge.remote(speech, text, place=place), begun)


class DeployedService:
    """PersonalityService over `Handles`."""

    def __init__(self, handles: Handles) -> None:
        self._handles = handles
        self._known: ServedModel | None = None
        self._known_at = 0.0

    async def model(self) -> ServedModel:
        """The model of the last answer, where that is no older than a second."""
        if self._known is not None and monotonic() - self._known_at < _MODEL_AGE_S:
            return self._known
        return await self._model_now()

    async def _model_now(self) -> ServedModel:
        return self._note(await answer_of(lambda: Chain(self._handles.judge.model.remote())))

    def _note(self, model: ServedModel) -> ServedModel:
        self._known, self._known_at = model, monotonic()
        return model

    async def clips(self, clips: Sequence[ClipInput]) -> Answered[list[ClipRecognition]]:
        if not clips:
            return Answered([], await self.model())
        judged = await self._judged(lambda reads: self._clips(clips, reads))
        pairs = zip(judged.results, judged.heard.clips, strict=True)
        found = [ClipRecognition(result, clip.text) for result, clip in pairs]
        return Answered(found, judged.model, judged.timings_s)

    async def call(self, recording: Recording) -> Answered[CallRecognition]:
        hear = partial(self._handles.heard_and_judged, "call", recording)
        return _as_call(await self._judged(hear))

    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        hear = partial(self._handles.heard_and_judged, "utterance", samples, rate_hz, speech)
        found = _as_call(await self._judged(hear))
        return Answered(list(found.result.sentences), found.model, found.timings_s)

    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        said = await answer_of(
            lambda: Chain(self._handles.asr.text.remote(samples, rate_hz, speech, place=carried()))
        )
        if isinstance(said, Failed):
            raise said.error
        return str(said)

    def _clips(self, clips: Sequence[ClipInput], reads: bool) -> Chain:
        if reads and any(clip.text is None for clip in clips):
            return self._handles.heard_and_judged("clips", list(clips), reads)
        # Nothing is to be written down: the hop is spared.
        ready = tuple(
            replace(clip, text=(clip.text or "").strip() if reads else None) for clip in clips
        )
        return self._handles.judged(Heard.of_clips(ready, reads, {}))

    async def _judged(self, begin: Callable[[bool], Chain]) -> Judged:
        """The answer to what `begin` begins, told whether the model reads."""
        model = self._known or await self._model_now()
        until = monotonic() + _SWAP_S
        while True:
            found = await answer_of(partial(begin, model.reads))
            if isinstance(found, Judged):
                self._note(found.model)
                return found
            if isinstance(found, Failed):
                raise found.error
            if not isinstance(found, Stale):
                raise TypeError(f"a deployment answered with {type(found).__name__}")
            if monotonic() > until:
                raise ServiceBusyError(
                    f"{found.why}, for {_SWAP_S:.0f} s: a bundle is being swapped; ask again later"
                )
            await asyncio.sleep(_SWAP_STEP_S)
            model = await self._model_now()


def _as_call(judged: Judged) -> Answered[CallRecognition]:
    found = summed_up(judged.heard.pieces(), judged.results)
    return Answered(found, judged.model, judged.timings_s)


async def answer_of(begin: Callable[[], Chain]) -> Any:
    """What deployments answer to what `begin` begins; begun again where a replica died."""
    for left in reversed(range(_TRIES)):
        chain = begin()
        try:
            return await _outcome(chain)
        except asyncio.CancelledError:
            chain.cancel()
            raise
        except Exception as error:
            chain.cancel()
            _refused(error)
            if not _died(error):
                raise
            if not left:
                raise ServiceLostError(
                    "a replica died while it answered, and so did the one that was asked in its "
                    "place: ask again"
                ) from None
            log_event("a replica died while it answered: it is asked once more", logging.WARNING)
    raise AssertionError("unreachable")


async def _outcome(chain: Chain) -> Any:
    """What the last response of a chain gives.

    Where one before it went with its node, Serve takes that for the death of the replica that it
    asks next, and asks on for ever. So those before are looked at, too: once it takes long, for
    they carry the audio.
    """
    asked = [asyncio.ensure_future(_awaited(chain.last))]
    try:
        done, _ = await asyncio.wait(asked, timeout=_LONG_S)
        if not done:
            asked += [asyncio.ensure_future(_awaited(response)) for response in chain.before]
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_EXCEPTION)
        for one in asked[1:]:
            if one in done:
                one.result()
        return await asked[0]
    finally:
        for one in asked:
            if not one.cancel() and not one.cancelled():
                # Looked at, or asyncio tells of it.
                one.exception()


async def _awaited(response: DeploymentResponse) -> Any:
    return await response


def _refused(error: Exception) -> None:
    """Raise what a caller can be told, where deployments took nothing."""
    for one in _causes(error):
        if isinstance(one, BackPressureError):
            raise ServiceBusyError(
                f"{one.args[0]} requests are waiting already (serving.limits.max_queued "
                f"{one.args[1]}): ask again later"
            ) from None
        if isinstance(one, DeploymentUnavailableError):
            raise ServiceError("a deployment could not start: its replicas' logs say why") from None


def _died(error: Exception) -> bool:
    return any(
        isinstance(one, (RayActorError, ReplicaUnavailableError, ObjectLostError))
        for one in _causes(error)
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and those behind it: Ray wraps what happened in a deployment before this one."""
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        left += [getattr(one, "cause", None), one.__cause__]
