"""The service in this process: for tests, for pages while they are written, for one user."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from persona_ray.inference.clips import ClipRecognition
from persona_ray.serving.service import HEARING, JUDGING, Answered, ServedModel

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.inference.calls import Pieces
    from persona_ray.inference.clips import CallRecognition, ClipInput, SentenceRecognition
    from persona_ray.inference.hearing import Hearing
    from persona_ray.inference.personality import PersonalityRecognizer
    from persona_ray.serving.service import Recording
    from persona_ray.types import Samples

P = ParamSpec("P")
T = TypeVar("T")


def hear(hearing: Hearing, recording: Recording) -> Pieces:
    """The sentences of a recording, from its bytes where it has them."""
    if recording.data is not None:
        return hearing.upload(recording.data, recording.name, recording.channel)
    return hearing.recording(recording.uri, recording.channel)


class LocalService:
    """PersonalityService over a recogniser; its work runs in threads, the event loop stays free."""

    def __init__(
        self, recognizer: PersonalityRecognizer, name: str = "persona", version: str = "local"
    ) -> None:
        self._recognizer = recognizer
        self._model = ServedModel(
            name=name,
            version=version,
            labels=recognizer.labels,
            hears=recognizer.judge.hears,
            reads=recognizer.judge.reads,
            sample_rate_hz=recognizer.config.audio.sample_rate_hz,
        )

    async def model(self) -> ServedModel:
        return self._model

    async def clips(self, clips: Sequence[ClipInput]) -> Answered[list[ClipRecognition]]:
        hearing, judge = self._recognizer.hearing, self._recognizer.judge

        def heard() -> list[ClipInput]:
            return [hearing.clip(clip) for clip in clips]

        ready, hearing_s = await _timed(heard)
        results, judging_s = await _timed(judge.judge, ready)
        found = [
            ClipRecognition(result, clip.text) for result, clip in zip(results, ready, strict=True)
        ]
        return self._answered(found, hearing_s, judging_s)

    async def call(self, recording: Recording) -> Answered[CallRecognition]:
        pieces, hearing_s = await _timed(hear, self._recognizer.hearing, recording)
        found, judging_s = await _timed(self._recognizer.pieces, pieces)
        return self._answered(found, hearing_s, judging_s)

    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        hearing = self._recognizer.hearing
        pieces, hearing_s = await _timed(hearing.utterance, samples, rate_hz, speech)
        found, judging_s = await _timed(self._recognizer.pieces, pieces)
        return self._answered(list(found.sentences), hearing_s, judging_s)

    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        return await asyncio.to_thread(self._recognizer.hearing.text, samples, rate_hz, speech)

    def _answered(self, result: T, hearing_s: float, judging_s: float) -> Answered[T]:
        return Answered(result, self._model, {HEARING: hearing_s, JUDGING: judging_s})


async def _timed(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, float]:
    """What `function` returns in a thread, and the seconds it took there."""

    def run() -> tuple[T, float]:
        start = perf_counter()
        result = function(*args, **kwargs)
        return result, perf_counter() - start

    return await asyncio.to_thread(run)
