"""A screened call that this replica holds: its ear and its line, around `ScreeningCall`.

Sound is settled with the words in it: an utterance that is being recognised is not, so that whoever
goes on with the call hears it again. Events that are kept are sent once they are in the store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.audio.resample import StreamResampler
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.call import ScreeningCall
from persona_ray.inference.screening.steps import Choice
from persona_ray.inference.screening.voice_so_far import CallerSound
from persona_ray.serving.live.endpoint import Endpointer
from persona_ray.serving.live.frames import FrameIntake
from persona_ray.serving.live.protocol import Ack, Sound
from persona_ray.serving.live.state import LiveState, read_state
from persona_ray.serving.screening.protocol import Kept, Played
from persona_ray.serving.screening.recordings import Recorder
from persona_ray.serving.screening.robot_sound import RobotFrames
from persona_ray.serving.screening.schemas import event_of, read_source
from persona_ray.serving.screening.telling import kept_event, notice_of
from persona_ray.store.screening.call_records import CallSupersededError

if TYPE_CHECKING:
    from pathlib import Path

    from persona_ray.audio.vad import VoiceActivity
    from persona_ray.inference.screening.call import Event
    from persona_ray.inference.screening.policy import Wishes
    from persona_ray.inference.screening.records import Verdict
    from persona_ray.inference.screening.speaking import RobotSound
    from persona_ray.serving.live.endpoint import Cut, Utterance
    from persona_ray.serving.screening.outbox import Outbox
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store.screening.call_records import ScreenedCall
    from persona_ray.types import Samples

# Sound that is long enough to be somebody's voice, not a click: the robot stops.
_BARGE_IN_S = 0.12
# While the caller talks the voice is looked at again after so much more speech.
_VOICE_EVERY_S = 1.0
_RECEIVED_EVERY_S = 5.0
# A database that takes longer does not keep the robot silent.
_SETTLED_WITHIN_S = 1.0
# Of the caller's speech, for whoever learns from the call.
_MOST_SPEECH_S = 60.0


@dataclass(frozen=True, slots=True)
class _Settled:
    """Where sound can be gone on with once the first `utterances` are settled."""

    utterances: int
    state: LiveState


class HeldCall:
    """Made by `begin`. `take` and `finish` are its ear, `run` its mind: both run at once.

    It is the `Line` of its `ScreeningCall`.
    """

    def __init__(
        self,
        record: ScreenedCall,
        services: ScreeningServices,
        voice: VoiceActivity,
        outbox: Outbox,
        folder: Path,
        wishes: Wishes,
    ) -> None:
        self.record = record
        self._services = services
        self._outbox = outbox
        config = services.config
        self._rate_hz = config.audio.sample_rate_hz
        sound = Sound.model_validate(dict(record.sound))
        longest_s = config.serving.limits.max_call_s
        live, session = record.checkpoint.get("live"), record.checkpoint.get("session")
        state = read_state(live, config) if live else None
        frame, offset = (state.frame, state.offset) if state else (0, 0)
        self._intake = FrameIntake(sound, self._rate_hz, longest_s, frame + 1, offset)
        begin = self._intake.position
        self._recorder = Recorder(folder, self._rate_hz, services.vault, begin)
        checkpoint = state.checkpoint if state else None
        self._endpointer = Endpointer(voice, config.serving.live, self._rate_hz, begin, checkpoint)
        self._live = state
        self._frames = RobotFrames(sound)
        self._track = StreamResampler(sound.sample_rate_hz, self._rate_hz)
        self._cuts: deque[_Settled] = deque()
        self._utterances = session["floor"]["last_utterance"] if session else 0
        self._call = ScreeningCall(
            event_of(record),
            services.parts,
            self,
            config.screening,
            wishes=wishes,
            models=services.models,
            known=read_source(record.source),
            choice=Choice(record.answer) if record.answer else None,
            kept=session,
        )
        # An answer that the session knows of, or is told with the source.
        self._answer = record.answer
        self._new: list[Kept] = []
        self._told = asyncio.Event()
        self._told.set()
        self.seq = len(record.events)
        self._talking = False
        self._looked_s = 0.0
        self._told_s = self._counted_s = self._intake.heard_s
        self._speech: deque[Samples] = deque()
        self._speech_s = 0.0

    @property
    def heard_s(self) -> float:
        return self._intake.heard_s

    @property
    def next_frame(self) -> int:
        return self._intake.next_frame

    @property
    def unsaid(self) -> Sequence[Kept]:
        """Kept events that are not in the store yet: those that end the call."""
        return self._new

    def speech(self) -> tuple[Samples, int]:
        """What the caller said (n,), the last minute of it, and its rate in Hz."""
        pieces = list(self._speech) or [np.zeros(0, dtype=np.float32)]
        return np.concatenate(pieces), self._rate_hz

    # --- the ear -------------------------------------------------------------------------------

    def take(self, message: bytes) -> None:
        """A frame. Raises RequestError."""
        samples = self._intake.take(message)
        if samples is None:
            return
        self._hear(samples)
        self._notice_speech()
        if self._intake.heard_s - self._told_s >= _RECEIVED_EVERY_S:
            self._tell_progress()

    def finish(self) -> None:
        """The caller has hung up."""
        self._hear(self._intake.finish())
        for cut in self._endpointer.finish():
            self._cut(cut)
        self._call.caller_left()

    def answered(self, answer: str) -> None:
        """The user's answer, empty where there is none yet; told once."""
        if answer and answer != self._answer:
            self._answer = answer
            self._call.user_answers(Choice(answer))

    def finish_recording(self) -> None:
        """Nothing more will be heard or said. From a thread. Raises CallSupersededError."""
        with self._deleted_meanwhile():
            self._recorder.finish()

    async def run(self) -> Verdict:
        """Until the call is over. Raises StoreError, CallSupersededError."""
        return await self._call.run()

    def _hear(self, samples: Samples) -> None:
        self._recorder.hear(samples)
        for cut in self._endpointer.push(samples):
            self._cut(cut)

    def _cut(self, cut: Cut) -> None:
        if cut.utterance is not None:
            self._utterances += 1
            self._talking = False
            self._looked_s = 0.0
            sound = _caller_sound(cut.utterance)
            self._keep_speech(sound)
            self._call.utterance(sound)
        frame, offset = self._intake.settled(cut.checkpoint.position)
        config = self._services.config
        state = LiveState.of(cut.checkpoint, frame, offset, self._intake.heard_s, config)
        self._cuts.append(_Settled(self._utterances, state))

    def _notice_speech(self) -> None:
        speech_s = self._endpointer.speech_s
        talking = speech_s > 0 or self._endpointer.talking_s >= _BARGE_IN_S
        if talking and not self._talking:
            self._call.caller_speaks()
        elif self._talking and not talking and self._endpointer.talking_s == 0:
            self._call.caller_quiet()
        elif self._talking:
            # It may yet turn out to be nothing.
            talking = True
        self._talking = talking
        if speech_s - self._looked_s >= _VOICE_EVERY_S:
            self._looked_s = speech_s
            so_far = self._endpointer.so_far()
            if so_far is not None:
                self._call.so_far(_caller_sound(so_far))

    def _keep_speech(self, sound: CallerSound) -> None:
        self._speech.append(sound.samples)
        self._speech_s += len(sound.samples) / sound.rate_hz
        while self._speech_s > _MOST_SPEECH_S and len(self._speech) > 1:
            self._speech_s -= len(self._speech.popleft()) / sound.rate_hz

    # --- the line ------------------------------------------------------------------------------

    async def play(self, sound: RobotSound) -> None:
        """See Line. Sound comes after the events before it: a phone picks up first."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SETTLED_WITHIN_S):
                await self._told.wait()
        frame, samples = self._frames.frame(sound)
        if frame:
            self._outbox.play(frame)
            self._recorder.say(self._track.push(samples))

    async def clear(self) -> None:
        """See Line."""
        self._recorder.clear()
        self._outbox.clear(self.seq)

    async def tell(self, event: Event) -> None:
        """See Line. What is kept is sent by `keep`, which follows."""
        kept = kept_event(event, self.seq + len(self._new) + 1)
        if kept is not None:
            self._new.append(kept)
            self._told.clear()
        elif isinstance(event, steps.Say | steps.Listen):
            self._outbox.put(Played(seq=self.seq, over=isinstance(event, steps.Listen)))
        notice = notice_of(event)
        if notice is not None:
            notify = self._services.store.screened_calls.notify
            await asyncio.to_thread(notify, self.record, *notice)
            self._services.woken.set()

    async def keep(self, state: Mapping[str, Any]) -> None:
        """See Line. Raises StoreError, CallSupersededError."""
        if state["phase"] == "ended":
            # The verdict is kept with the events that end the call.
            return
        floor = state["floor"]
        pending = [int(number) for number in floor["utterances"]]
        upto = min([floor["last_utterance"] + 1, *pending]) - 1
        while self._cuts and self._cuts[0].utterances <= upto:
            self._live = self._cuts.popleft().state
        checkpoint = {
            "session": dict(state),
            "live": None if self._live is None else self._live.model_dump(),
        }
        new, before = list(self._new), self.seq
        await asyncio.to_thread(self._settle, checkpoint, before, new)
        del self._new[: len(new)]
        self.seq += len(new)
        for event in new:
            self._outbox.put(event)
        if not self._new:
            self._told.set()
        self._tell_progress()

    def _settle(self, checkpoint: Mapping[str, Any], before: int, new: Sequence[Kept]) -> None:
        with self._deleted_meanwhile():
            self._recorder.flush()
        bodies = [event.model_dump_json() for event in new]
        self._services.store.screened_calls.settle(self.record, checkpoint, before, bodies)

    @contextmanager
    def _deleted_meanwhile(self) -> Iterator[None]:
        """The folder of a recording goes with its call alone. Raises CallSupersededError."""
        try:
            yield
        except FileNotFoundError:
            raise CallSupersededError(self.record.call_id) from None

    def _tell_progress(self) -> None:
        heard_s = self._intake.heard_s
        self._services.metrics.audio("screened", max(0.0, heard_s - self._counted_s))
        self._told_s = self._counted_s = heard_s
        settled = 0 if self._live is None else self._live.frame
        received = self._intake.next_frame - 1
        self._outbox.put(Ack(seq=self.seq, frame=settled, received=received))


def _caller_sound(utterance: Utterance) -> CallerSound:
    return CallerSound(
        samples=utterance.samples,
        rate_hz=utterance.sample_rate_hz,
        start_s=utterance.start_s + utterance.speech[0].start_s,
        end_s=utterance.start_s + utterance.speech[-1].end_s,
        speech_s=sum(span.duration_s for span in utterance.speech),
    )
