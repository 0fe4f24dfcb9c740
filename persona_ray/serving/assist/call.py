"""One assisted call: frames of both channels in, turns and pushes out.

Recognition of a sentence begins before it is sure that it has ended, so that little is left to do
when it has. Stretches are judged in the order in which they ended, whoever spoke.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from persona_ray.conversation import Speaker
from persona_ray.inference.assist.crosstalk import own_speech
from persona_ray.inference.assist.records import NotHeard
from persona_ray.serving.assist.arrivals import Arrivals
from persona_ray.serving.assist.ear import ChannelEar
from persona_ray.serving.assist.mind import Clock, Considered, Mind
from persona_ray.serving.assist.protocol import (
    CallEnded,
    CallStarted,
    ColourKnown,
    SceneChanged,
    read_kept,
    read_message,
)
from persona_ray.serving.assist.scenes import channels_of, colour_named, scene_named
from persona_ray.serving.assist.settled import Settled
from persona_ray.serving.assist.state import read_assist_state
from persona_ray.serving.assist.steps import Begun, Ended, Last, Moved, Step
from persona_ray.serving.assist.telling import new_event, timed
from persona_ray.serving.assist.whereabouts import Whereabouts
from persona_ray.serving.live.connection import begun_already
from persona_ray.serving.live.frames import ChannelsIntake
from persona_ray.serving.live.judging import failed_stretch, patiently
from persona_ray.serving.live.protocol import WINDOW_S, Ack, Finish, Sound
from persona_ray.watch import spans

if TYPE_CHECKING:
    from persona_ray.audio.vad import VoiceActivity
    from persona_ray.serving.assist.ear import Caught, Hearing
    from persona_ray.serving.assist.protocol import AnyEvent
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.serving.assist.state import MindState
    from persona_ray.serving.live.endpoint import Utterance
    from persona_ray.store.assist.records import AssistCall
    from persona_ray.types import Samples

# Steps that wait; then frames are no longer taken.
_WAITING = 8
_RECEIVED_EVERY_S = 5.0

Emit = Callable[["AnyEvent"], None]


class AssistedCall:
    """A call that goes on. `take` and `finish` are its ear, `work` its mind: both run at once.

    `emit` gets events in order and does not wait. Made by `begin`.
    """

    def __init__(
        self,
        record: AssistCall,
        services: AssistServices,
        voice: VoiceActivity,
        emit: Emit,
        begun: Begun,
    ) -> None:
        self.record = record
        self._services = services
        self._calls = services.store.assist_calls
        self._emit = emit
        config = services.config
        sound = Sound.model_validate(dict(record.sound))
        self._settled = Settled(begun.state, config)
        self._mind = Mind(services, record, begun.mind, begun.library)
        self._where = Whereabouts(self._calls, record, self._mind.scene)
        channels = channels_of(sound)
        self._intake = ChannelsIntake(
            sound,
            config.audio.sample_rate_hz,
            config.serving.limits.max_call_s,
            tuple(channels.values()),
            self._settled.frame + 1,
            self._settled.offset,
        )
        self._ears = {
            speaker: ChannelEar(
                speaker,
                voice,
                config,
                self._intake.position,
                self._settled.checkpoint(speaker),
                partial(self._hear, speaker),
            )
            for speaker in channels
        }
        self._arrivals = Arrivals(resumed=begun.state is not None)
        self._seq = 0
        self._steps: asyncio.Queue[Step] = asyncio.Queue(_WAITING)
        self._told_s = self._counted_s = self._intake.heard_s

    @classmethod
    async def begin(
        cls,
        record: AssistCall,
        services: AssistServices,
        voice: VoiceActivity,
        emit: Emit,
        begun: MindState,
        seen: int = 0,
    ) -> AssistedCall:
        """The call as far as it is settled; `started` and the events after number `seen` are
        emitted. `begun`: what is known of one that begins."""
        config = services.config
        state = read_assist_state(record.checkpoint, config) if record.checkpoint else None
        mind = begun if state is None else state.mind
        library = await services.scripts.begun_with(*mind.library)
        call = cls(record, services, voice, emit, Begun(state, mind, library))
        seen = min(seen, record.events)
        emit(
            CallStarted(
                seq=seen,
                call_id=record.call_id,
                next_frame=call._intake.next_frame,
                window_s=WINDOW_S,
            )
        )
        if record.events > seen:
            calls = services.store.assist_calls
            kept = await asyncio.to_thread(calls.events, record.agent_id, record.call_id, seen)
            for body in kept:
                emit(read_kept(body))
        call._seq = record.events
        return call

    @property
    def ended(self) -> bool:
        """See Conversing."""
        return self.record.ended

    @property
    def seq(self) -> int:
        return self._seq

    @property
    def heard_s(self) -> float:
        return self._intake.heard_s

    # --- the ear -------------------------------------------------------------------------------

    async def take(self, message: bytes) -> None:
        """A frame. Waits where sentences pile up. Raises RequestError."""
        parts = self._intake.take_all(message)
        if parts is None:
            return
        self._arrivals.came(self._intake.heard_s, time.monotonic())
        await self._push(parts)
        customer = self._ears[Speaker.CUSTOMER]
        customer.consider()
        agent = self._ears.get(Speaker.AGENT)
        # What the customer says goes first.
        if agent is not None and not customer.guessing:
            agent.consider()
        if self._intake.heard_s - self._told_s >= _RECEIVED_EVERY_S:
            self._tell_progress()

    async def told(self, message: str) -> bool:
        """See Conversing."""
        said = read_message(message)
        match said:
            case Finish():
                return True
            case SceneChanged():
                steps = self._services.config.assist.steps
                self._where.named = scene_named(said, steps, self._where.named)
                await self._steps.put(Moved(scene=self._where.named))
            case ColourKnown():
                labels = self._services.config.annotation.labels
                colour = colour_named(said.probabilities, labels)
                await self._steps.put(Moved(colour=colour))
            case _:
                raise begun_already()
        return False

    async def finish(self) -> None:
        """There are no more frames."""
        self._count()
        await self._push(self._intake.finish_all(), over=True)
        await self._steps.put(Last())

    def cancel(self) -> None:
        """See Conversing."""
        self._count()
        for ear in self._ears.values():
            ear.cancel()
        while not self._steps.empty():
            step = self._steps.get_nowait()
            if isinstance(step, Ended) and step.hearing is not None:
                step.hearing.cancel()

    async def _push(self, parts: list[Samples], over: bool = False) -> None:
        """Sound of every channel; `over`: the last."""
        found = [
            (ear, cut)
            for ear, samples in zip(self._ears.values(), parts, strict=True)
            for cut in [*ear.push(samples), *(ear.finish() if over else ())]
        ]
        ended = []
        for ear, cut in found:
            step = Ended(ear.speaker, cut.checkpoint, time.monotonic())
            if cut.utterance is not None:
                step = Ended(
                    ear.speaker,
                    cut.checkpoint,
                    time.monotonic(),
                    cut.utterance,
                    ear.ended(cut.utterance),
                    ear.said_until_s(cut.utterance),
                )
            ended.append(step)
        for step in sorted(ended, key=lambda one: one.said_until_s):
            await self._steps.put(step)

    async def _hear(self, speaker: Speaker, utterance: Utterance) -> Caught | NotHeard:
        """What is heard of one channel, without the voice of the other."""
        config = self._services.config.assist.ears
        others = [ear for ear in self._ears.values() if ear.speaker is not speaker]
        other = others[0].beside(utterance) if others else None
        own = await asyncio.to_thread(own_speech, speaker, utterance, other, config)
        if isinstance(own, NotHeard):
            return own
        ears = self._services.parts.ears
        heard = await patiently(lambda: ears.hear(own.samples, own.sample_rate_hz, own.speech))
        return own, heard

    # --- the mind ------------------------------------------------------------------------------

    async def work(self) -> None:
        """Judge and settle what ends, in order, until all is settled. Raises StoreError, and
        SupersededError where another connection goes on with the call."""
        while True:
            step = await self._steps.get()
            match step:
                case Moved():
                    await self._move(step)
                case Ended():
                    await self._end(step)
                case Last():
                    await self._conclude()
                    return

    async def _move(self, step: Moved) -> None:
        made = Considered(self._mind.move(step.scene, self._seq + 1))
        if step.colour is not None:
            self._mind.learn(step.colour)
        await self._settle(made)

    async def _end(self, step: Ended) -> None:
        made, clock = Considered(), None
        if step.utterance is not None and step.hearing is not None:
            clock = Clock(self._arrivals.said_at(step.said_until_s))
            clock.stages["ended"] = max(0.0, step.cut_at - clock.said_at)
            with spans.span("sentence"):
                made = await self._judge(step.speaker, step.utterance, step.hearing, clock)
        self._settled.keep(step.speaker, step.checkpoint, self._intake, self._ears)
        await self._settle(made, clock)

    async def _judge(
        self, speaker: Speaker, utterance: Utterance, hearing: Hearing, clock: Clock
    ) -> Considered:
        scene = await self._where.looked_up() if speaker is Speaker.CUSTOMER else None
        followed = self._mind.move(scene, self._seq + 1)
        seq = self._seq + len(followed) + 1
        try:
            caught = await hearing
        except Exception as error:
            failed = failed_stretch(utterance, error).model_copy(update={"seq": seq})
            return Considered([*followed, failed])
        clock.passed("hearing")
        made = await self._mind.consider(speaker, caught, clock, seq)
        return Considered([*followed, *made.events], made.suggestion)

    async def _conclude(self) -> None:
        self._settled.whole(self._intake)
        end = CallEnded(
            seq=self._seq + 1,
            duration_s=round(self._intake.heard_s, 3),
            turns=self._mind.heard,
            pushes=self._mind.pushed,
        )
        await self._settle(Considered([end]), ended=True)

    async def _settle(
        self, made: Considered, clock: Clock | None = None, *, ended: bool = False
    ) -> None:
        state = self._settled.state(self._intake.heard_s, self._mind.dump())
        await asyncio.to_thread(
            self._calls.settle,
            self.record,
            state.model_dump(mode="json"),
            self._seq,
            [new_event(event, made.suggestion) for event in made.events],
            [] if made.suggestion is None else [made.suggestion],
            scene=self._where.to_store(self._mind.scene),
            ended=ended,
        )
        self._seq += len(made.events)
        self._services.woken.set()
        if clock is not None:
            clock.passed("sent")
            self._services.metrics.stages(clock.stages)
        for event in made.events:
            self._emit(timed(event, clock))
        self._tell_progress()

    def _tell_progress(self) -> None:
        self._count()
        self._told_s = self._intake.heard_s
        received = self._intake.next_frame - 1
        self._emit(Ack(seq=self._seq, frame=self._settled.frame, received=received))

    def _count(self) -> None:
        heard_s = self._intake.heard_s
        self._services.metrics.audio("assisted", max(0.0, heard_s - self._counted_s))
        self._counted_s = heard_s
