"""One live call: frames in, sentences and the running colour out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.inference.clips import combine
from persona_ray.serving.live.connection import begun_already
from persona_ray.serving.live.endpoint import Endpointer
from persona_ray.serving.live.frames import FrameIntake
from persona_ray.serving.live.judging import UtteranceJudge
from persona_ray.serving.live.partial import PartialTexts
from persona_ray.serving.live.protocol import (
    WINDOW_S,
    Ack,
    AnyEvent,
    Ended,
    Failed,
    Finish,
    Partial,
    Result,
    RunningColour,
    Sentence,
    Sound,
    Started,
    read_message,
    read_result,
)
from persona_ray.serving.live.state import LiveState, read_state
from persona_ray.serving.schemas import colour_of as named_colour
from persona_ray.serving.schemas import model_answer
from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from persona_ray.audio.vad import VoiceActivity
    from persona_ray.serving.application import Services
    from persona_ray.serving.live.endpoint import Cut, Utterance
    from persona_ray.serving.service import ServedModel
    from persona_ray.store.live_calls import LiveCallRecord

# Utterances that wait to be judged; then frames are no longer taken.
_WAITING = 4
# How often a client is told what has come.
_RECEIVED_EVERY_S = 5.0

Emit = Callable[[AnyEvent], None]


@dataclass(frozen=True, slots=True)
class _Step:
    """Something to settle: an utterance or silence, the state after it, whether it is the last."""

    utterance: Utterance | None
    state: LiveState
    last: bool


class LiveCall:
    """A call that goes on. `take` and `finish` are its ear, `work` its mind: both run at once.

    `emit` gets events in order and does not wait. Made by `begin`.
    """

    def __init__(
        self,
        record: LiveCallRecord,
        model: ServedModel,
        services: Services,
        voice: VoiceActivity,
        emit: Emit,
    ) -> None:
        self.record = record
        self._services = services
        self._config = services.config
        self._emit = emit
        rate_hz = self._config.audio.sample_rate_hz
        sound = Sound.model_validate(dict(record.sound))
        longest_s = self._config.serving.limits.max_call_s
        live = self._config.serving.live
        if record.checkpoint:
            state = read_state(record.checkpoint, self._config)
            self._settled_frame = state.frame
            self._intake = FrameIntake(sound, rate_hz, longest_s, state.frame + 1, state.offset)
            self._endpointer = Endpointer(
                voice, live, rate_hz, self._intake.position, state.checkpoint
            )
            self._duration_s = state.heard_s
        else:
            self._settled_frame = 0
            self._intake = FrameIntake(sound, rate_hz, longest_s)
            self._endpointer = Endpointer(voice, live, rate_hz)
            self._duration_s = 0.0
        self._results: list[Recognition | NothingUsable] = []
        self._seq = 0
        self._counted_s = self._intake.heard_s
        self._steps: asyncio.Queue[_Step] = asyncio.Queue(_WAITING)
        # Utterances that ended and are not judged yet.
        self._unjudged = 0
        self._judge = UtteranceJudge(services, record)
        every_s = live.partial_every_s if model.reads else 0.0
        self._partials = PartialTexts(services.personality, every_s, self._say_partial)

    @classmethod
    async def begin(
        cls,
        record: LiveCallRecord,
        services: Services,
        voice: VoiceActivity,
        emit: Emit,
        seen: int = 0,
    ) -> LiveCall:
        """The call as far as it is settled; `started` and the results after number `seen` are
        emitted."""
        model = await services.personality.model()
        call = cls(record, model, services, voice, emit)
        kept = []
        if record.results:
            store = services.store.live_calls
            kept = await asyncio.to_thread(store.results, record.owner, record.call_id)
        # A client that says it has more than there is has what was never settled.
        emit(
            Started(
                seq=min(seen, len(kept)),
                call_id=record.call_id,
                next_frame=call._intake.next_frame,
                window_s=WINDOW_S,
                model=model_answer(model),
            )
        )
        for body in kept:
            call._note(read_result(body), told=call._seq >= seen)
        if record.ended:
            call._end()
        return call

    @property
    def ended(self) -> bool:
        """Whether the call had ended before it was gone on with."""
        return self.record.ended

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def heard_s(self) -> float:
        return self._intake.heard_s

    @property
    def sentences(self) -> int:
        return len(self._results)

    async def take(self, message: bytes) -> None:
        """A frame. Waits where utterances pile up. Raises RequestError."""
        samples = self._intake.take(message)
        if samples is None:
            return
        heard_s = self._intake.heard_s
        for cut in self._endpointer.push(samples):
            await self._ended_by(cut)
        if not self._unjudged:
            self._partials.consider(self._endpointer)
        if heard_s - self._counted_s >= _RECEIVED_EVERY_S:
            self._tell()

    async def told(self, message: str) -> bool:
        """See Conversing."""
        if not isinstance(read_message(message), Finish):
            raise begun_already()
        return True

    async def finish(self) -> None:
        """There are no more frames."""
        self._count()
        cuts = [*self._endpointer.push(self._intake.finish()), *self._endpointer.finish()]
        for cut in cuts[:-1]:
            await self._ended_by(cut)
        await self._ended_by(cuts[-1], last=True)

    async def work(self) -> None:
        """Judge and settle what ends, in order, until all is settled. Raises StoreError, and
        SupersededError where another connection goes on with the call."""
        while True:
            step = await self._steps.get()
            results = [] if step.utterance is None else await self._judge.judge(step.utterance)
            await self._settle(step, results)
            if step.last:
                self._end()
                return

    def cancel(self) -> None:
        """Leave the partial text be."""
        self._count()
        self._partials.cancel()

    async def _ended_by(self, cut: Cut, last: bool = False) -> None:
        if cut.utterance is not None:
            self._unjudged += 1
            self._partials.utterance_ended()
        frame, offset = self._intake.settled(cut.checkpoint.position)
        heard_s = self._intake.heard_s
        state = LiveState.of(cut.checkpoint, frame, offset, heard_s, self._config)
        if last:
            state = state.model_copy(update={"frame": self._intake.next_frame - 1})
        await self._steps.put(_Step(cut.utterance, state, last))

    async def _settle(self, step: _Step, results: list[Result]) -> None:
        before = self._seq
        numbered = [
            result.model_copy(update={"seq": number})
            for number, result in enumerate(results, before + 1)
        ]
        await asyncio.to_thread(
            self._services.store.live_calls.settle,
            self.record,
            step.state.model_dump(),
            before,
            [result.model_dump_json() for result in numbered],
            ended=step.last,
        )
        for result in numbered:
            self._note(result)
        if step.utterance is not None:
            self._unjudged -= 1
        self._settled_frame = step.state.frame
        self._duration_s = step.state.heard_s
        self._tell()

    def _note(self, result: Result, told: bool = True) -> None:
        """A result that is settled: the running colour changes with it."""
        self._seq = result.seq
        if told:
            self._emit(result)
        if isinstance(result, Failed):
            return
        self._results.append(_recognition(result))
        if told:
            self._emit(RunningColour(seq=self._seq, **self._colour()))

    def _colour(self) -> dict[str, object]:
        colour = named_colour(self._together(), self._config.serving.abstain_below)
        return colour.model_dump()

    def _together(self) -> Recognition | NothingUsable:
        usable = [one for one in self._results if isinstance(one, Recognition)]
        if not usable:
            return combine(self._results)
        # A model with other labels may have taken over: what it says counts.
        labels = tuple(usable[-1].probabilities)
        return combine([one for one in usable if tuple(one.probabilities) == labels])

    def _end(self) -> None:
        together = named_colour(self._together(), self._config.serving.abstain_below)
        self._emit(Ended(seq=self._seq, duration_s=round(self._duration_s, 3), together=together))

    def _tell(self) -> None:
        self._count()
        received = self._intake.next_frame - 1
        self._emit(Ack(seq=self._seq, frame=self._settled_frame, received=received))

    def _count(self) -> None:
        heard_s = self._intake.heard_s
        self._services.metrics.audio("live", heard_s - self._counted_s)
        self._counted_s = heard_s

    def _say_partial(self, start_s: float, text: str) -> None:
        self._emit(Partial(seq=self._seq, start_s=start_s, text=text))


def _recognition(sentence: Sentence) -> Recognition | NothingUsable:
    if sentence.probabilities is None:
        return NothingUsable(sentence.reason or "")
    return Recognition(sentence.probabilities, clips=sentence.clips)
