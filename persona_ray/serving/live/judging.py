"""What was said between two pauses of a live call, judged: its sentences, or why there are none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from persona_ray.errors import PersonaRayError, ServiceBusyError
from persona_ray.serving.answers import note_sentences, rounded
from persona_ray.serving.failures import failure_of, unexpected
from persona_ray.serving.live.protocol import Failed, Result, Sentence
from persona_ray.serving.rollout.choice import live_call
from persona_ray.serving.schemas import model_answer, sentence_answer
from persona_ray.watch import spans
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.inference.clips import SentenceRecognition
    from persona_ray.serving.application import Services
    from persona_ray.serving.live.endpoint import Utterance
    from persona_ray.serving.service import Answered
    from persona_ray.store.live_calls import LiveCallRecord

# A full service is asked again after so many seconds, then after twice as many, ...
_BUSY_WAIT_S, _TRIES = 0.25, 6

T = TypeVar("T")


class UtteranceJudge:
    """Of one live call. Its results have no number yet: `seq` is 0."""

    def __init__(self, services: Services, record: LiveCallRecord) -> None:
        self._services = services
        self._call = f"{record.owner}/{record.call_id}"

    async def judge(self, utterance: Utterance) -> list[Result]:
        """Its sentences, with times in the call. A call is longer than one utterance: what failed
        is told in its place."""
        try:
            with spans.span("sentence"):
                answered = await self._ask(utterance)
        except Exception as error:
            return [failed_stretch(utterance, error)]
        metrics = self._services.metrics
        metrics.stages(answered.timings_s)
        metrics.heard(utterance.samples, utterance.sample_rate_hz, answered.model)
        note_sentences(self._services, answered.result, answered.model)
        results = [found.result for found in answered.result]
        metrics.answers(results, answered.model)
        return [self._sentence(found, utterance, answered) for found in answered.result]

    async def _ask(self, utterance: Utterance) -> Answered[list[SentenceRecognition]]:
        personality = self._services.personality
        # All of a call is one model's, as far as a rollout can see to it.
        with live_call(self._call):
            return await patiently(
                lambda: personality.utterance(
                    utterance.samples, utterance.sample_rate_hz, utterance.speech
                )
            )

    def _sentence(
        self,
        found: SentenceRecognition,
        utterance: Utterance,
        answered: Answered[list[SentenceRecognition]],
    ) -> Sentence:
        answer = sentence_answer(found, self._services.config.serving.abstain_below)
        times = {
            "start_s": round(utterance.start_s + found.start_s, 3),
            "end_s": round(utterance.start_s + found.end_s, 3),
        }
        return Sentence(
            **{**answer.model_dump(), **times},
            seq=0,
            model=model_answer(answered.model),
            timings_s=rounded(answered.timings_s),
        )


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """What `ask` gives; a full service is asked again for a while. Raises ServiceBusyError, and
    what `ask` raises."""
    wait_s = _BUSY_WAIT_S
    for left in reversed(range(_TRIES)):
        try:
            return await ask()
        except ServiceBusyError:
            if left == 0:
                raise
        await asyncio.sleep(wait_s)
        wait_s *= 2
    raise AssertionError("the last try returns or raises")


def failed_stretch(utterance: Utterance, error: Exception) -> Failed:
    """An error in the place of what was said."""
    failure = failure_of(error)
    if failure is None or not isinstance(error, PersonaRayError):
        log_exception("utterance failed", error)
        failure = failure or unexpected()
    start_s, end_s = (
        round(utterance.start_s + moment_s, 3)
        for moment_s in (utterance.speech[0].start_s, utterance.speech[-1].end_s)
    )
    return Failed(seq=0, error=failure.detail(), start_s=start_s, end_s=end_s)
