"""From what models gave to what is answered and counted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from persona_ray.serving.schemas import CallAnswer, colour_of, model_answer, sentence_answer
from persona_ray.serving.service import READING, TOTAL
from persona_ray.watch.trace_ids import current_trace_id

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.inference.clips import (
        CallRecognition,
        ClipInput,
        ClipRecognition,
        SentenceRecognition,
    )
    from persona_ray.serving.application import Services
    from persona_ray.serving.service import Answered, ServedModel


def call_answer(
    answered: Answered[CallRecognition], config: RunConfig, timings_s: Mapping[str, float]
) -> CallAnswer:
    """What is answered about a call, at once or by a job."""
    threshold, found = config.serving.abstain_below, answered.result
    return CallAnswer(
        together=colour_of(found.result, threshold),
        sentences=[sentence_answer(sentence, threshold) for sentence in found.sentences],
        flags=list(found.flags),
        model=model_answer(answered.model),
        timings_s=dict(timings_s),
        trace_id=current_trace_id(),
    )


def note_call(
    services: Services, answered: Answered[CallRecognition], timings_s: Mapping[str, float]
) -> None:
    """Count a call."""
    found = answered.result
    spoken_s = sum(sentence.end_s - sentence.start_s for sentence in found.sentences)
    services.metrics.audio("call", spoken_s)
    note_sentences(services, found.sentences, answered.model)
    services.metrics.answers((each.result for each in found.sentences), answered.model)
    services.metrics.stages(timings_s)


def note_sentences(
    services: Services, sentences: Sequence[SentenceRecognition], model: ServedModel
) -> None:
    """How much was recognised in each."""
    for one in sentences:
        services.metrics.recognised(one.text, one.end_s - one.start_s, model)


def note_clips(
    services: Services, inputs: Sequence[ClipInput], answered: Answered[list[ClipRecognition]]
) -> None:
    """How the clips sound, and how much was recognised in each."""
    for asked, found in zip(inputs, answered.result, strict=True):
        if asked.samples is None:
            continue
        services.metrics.heard(asked.samples, asked.sample_rate_hz, answered.model)
        # A text that came with the clip tells nothing of the recogniser.
        if asked.text is None:
            seconds = len(asked.samples) / asked.sample_rate_hz
            services.metrics.recognised(found.text, seconds, answered.model)


def timings(answered: Answered[Any], read_s: float, begun: float) -> dict[str, float]:
    """Seconds by stage, the reading of the request and all in all besides."""
    stages = {READING: read_s, **answered.timings_s, TOTAL: time.perf_counter() - begun}
    return rounded(stages)


def rounded(timings_s: Mapping[str, float]) -> dict[str, float]:
    """To a tenth of a millisecond, as they are answered."""
    return {stage: round(seconds, 4) for stage, seconds in timings_s.items()}
