"""A screened call: the machine of its session, driven over the seams.

The line's protocol, whatever carries it: in, what `ScreeningCall` is told (the caller speaks, is
quiet, has said something, has left; the user answers); out, `Line`: frames of the robot's sound,
events, and states to keep. Events are the session's commands that concern others: `AskUser`,
`PickUp`, `Say`, `Listen`, `NoteTurn`, `Tell`, `TakeMessage`, then one of `Pass`, `Reject`,
`HangUp`, `EndCall` (or none, where the caller has left), then `Conclude`.

Everything runs on one event loop; models are asked in tasks, so that speech recognition, the voice
and the clock go on beside each other. Logs name parts and kinds of errors, never what was said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from persona_ray.inference.screening import steps
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import LineKind, VoiceMatch
from persona_ray.inference.screening.session import Session
from persona_ray.inference.screening.speaking import RobotSound, speak
from persona_ray.inference.screening.steps import Choice, Command, Input, Part
from persona_ray.inference.screening.voice_so_far import CallerSound, VoiceSoFar

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.inference.screening.policy import Wishes
    from persona_ray.inference.screening.records import CallEvent, Known, NotListed, Verdict
    from persona_ray.inference.screening.seams import Parts
    from persona_ray.types import Samples

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")

Event = (
    steps.AskUser
    | steps.PickUp
    | steps.Say
    | steps.Listen
    | steps.NoteTurn
    | steps.Tell
    | steps.TakeMessage
    | steps.Pass
    | steps.Reject
    | steps.HangUp
    | steps.EndCall
    | steps.Conclude
)


class Line(Protocol):
    """The phone's end. A line that raises from `play`, `clear` or `tell`, or does not return for
    `part_s`, is one that the caller has left."""

    async def play(self, sound: RobotSound) -> None:
        """A frame of the robot's sound; they come hardly faster than they sound."""
        ...

    async def clear(self) -> None:
        """Sound that was handed over and is not heard yet is not wanted."""
        ...

    async def tell(self, event: Event) -> None: ...

    async def keep(self, state: Mapping[str, Any]) -> None:
        """What another replica can go on from, at every settled turn. What it raises ends `run`:
        another replica has the call."""
        ...


class ScreeningCall:
    """One call. `run` is its mind; the other methods are its ears, and do not wait."""

    def __init__(
        self,
        call: CallEvent,
        parts: Parts,
        line: Line,
        config: ScreeningConfig,
        *,
        wishes: Wishes | None = None,
        models: Mapping[str, str] | None = None,
        known: Known | NotListed | None = None,
        choice: Choice | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> None:
        """`models`: versions of the voice, speech and dialogue models, for the verdict. `known`:
        what the number was found to be before; then the sets are not asked again. `choice`: what
        the user has answered to that. `kept`: go on from this state; raises RequestError where
        another release left it."""
        self._call, self._parts, self._line = call, parts, line
        self._part_s = config.dialogue.part_s
        self._settings = (config, wishes, models)
        self._kept_state = kept
        self._session, self._first = self._from(kept)
        self._known, self._choice = known, choice
        self._inbox: asyncio.Queue[Input] = asyncio.Queue()
        self._next_input: Input | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._speaking: asyncio.Task[None] | None = None
        self._interruptible = True
        self._sounds: dict[int, CallerSound] = {}
        self._voice = VoiceSoFar(config.voice.min_speech_s)
        self._utterances = self._session.last_utterance
        self._kept = -1
        self._zero_s = asyncio.get_running_loop().time() - self._session.now_s
        self._verdict: Verdict | None = None

    @property
    def now_s(self) -> float:
        """Seconds from the start of the call."""
        return asyncio.get_running_loop().time() - self._zero_s

    # --- what the line tells -------------------------------------------------------------------

    def user_answers(self, choice: Choice) -> None:
        self._put(steps.UserAnswered(self.now_s, choice))

    def caller_speaks(self) -> None:
        """As the caller begins: the robot stops at once, whatever else is being done. Its goodbye
        goes on."""
        if self._interruptible:
            self._silence()
        self._put(steps.CallerSpeaks(self.now_s))

    def caller_quiet(self) -> None:
        """It was no speech: no utterance will end."""
        self._put(steps.CallerQuiet(self.now_s))

    def so_far(self, sound: CallerSound) -> None:
        """The utterance that goes on, all of it up to now; from time to time, if at all."""
        self._ask_whose(self._voice.so_far(sound), sound.rate_hz)

    def utterance(self, sound: CallerSound) -> None:
        """The caller has paused."""
        self._utterances += 1
        self._sounds[self._utterances] = sound
        end_s = max(sound.start_s, sound.end_s)
        self._put(steps.UtteranceEnded(self.now_s, self._utterances, sound.start_s, end_s))
        self._ask_whose(self._voice.utterance(sound), sound.rate_hz)

    def caller_left(self) -> None:
        self._put(steps.CallerLeft(self.now_s))

    # --- the mind ------------------------------------------------------------------------------

    async def run(self) -> Verdict:
        """Until the call is over. Raises what `Line.keep` raises."""
        try:
            await self._do_all(self._first)
            while self._verdict is None:
                await self._do_all(self._feed(await self._next()))
            return self._verdict
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _feed(self, one: Input) -> tuple[Command, ...]:
        try:
            return self._session.feed(one)
        except Exception as error:
            # A mistake of ours must not leave a caller in silence: the call is ended by what was
            # known before it.
            _LOG.error("a screened call is broken off: %s", type(error).__name__)
            self._session, _ = self._from(self._kept_state)
            return self._session.feed(steps.BrokenOff(self.now_s, ReasonCode.SERVICE_FAILED))

    def _from(self, kept: Mapping[str, Any] | None) -> tuple[Session, tuple[Command, ...]]:
        config, wishes, models = self._settings
        if kept is None:
            return Session.begin(self._call, config, wishes, models)
        return Session.resume(kept, config, wishes, models)

    async def _next(self) -> Input:
        """Inputs and deadlines in the order of their times, however late this comes about."""
        due_s = self._session.deadline_s
        assert due_s is not None
        if self._next_input is None:
            try:
                async with asyncio.timeout_at(self._zero_s + due_s):
                    self._next_input = await self._inbox.get()
            except TimeoutError:
                if self._inbox.empty():
                    return steps.Ticked(max(self.now_s, due_s))
                self._next_input = self._inbox.get_nowait()
        if self._next_input.at_s > due_s:
            return steps.Ticked(due_s)
        found, self._next_input = self._next_input, None
        return found

    async def _do_all(self, commands: tuple[Command, ...]) -> None:
        for command in commands:
            await self._do(command)
        if self._session.revision != self._kept:
            self._kept = self._session.revision
            self._kept_state = self._session.dump()
            await self._line.keep(self._kept_state)

    async def _do(self, command: Command) -> None:
        parts = self._parts
        match command:
            case steps.LookUp():
                self._look_up()
            case steps.Recognize(utterance):
                self._recognize(utterance)
            case steps.Judge(number, turns):
                told = _numbered(steps.CategoryJudged, number)
                self._ask(Part.CATEGORIES, number, lambda: parts.categories.judge(turns), told)
            case steps.ChooseAnswer(number, turns, judgement):
                said = _numbered(steps.RobotAnswered, number)
                self._ask(Part.ROBOT, number, lambda: parts.robot.answer(turns, judgement), said)
            case steps.StopSpeaking():
                await self._stop_speaking()
            case steps.Say():
                await self._say(command)
            case _:
                await self._out(lambda: self._line.tell(command))
                if isinstance(command, steps.Conclude):
                    self._verdict = command.verdict

    def _look_up(self) -> None:
        if self._known is not None:
            self._put(steps.SourceFound(self.now_s, self._known, self._choice))
        else:
            look_up = self._parts.sources.look_up
            self._ask(Part.SOURCES, 0, lambda: look_up(self._call), steps.SourceFound)

    def _recognize(self, utterance: int) -> None:
        sound = self._sounds.pop(utterance, None)
        if sound is None:
            self._put(steps.PartFailed(self.now_s, Part.EARS, utterance))
            return
        ears, told = self._parts.ears, _numbered(steps.Recognized, utterance)
        self._ask(Part.EARS, utterance, lambda: ears.text(sound.samples, sound.rate_hz), told)

    def _ask_whose(self, samples: Samples | None, rate_hz: int) -> None:
        if samples is None:
            return

        async def whose() -> None:
            known = False
            try:
                async with asyncio.timeout(self._part_s):
                    verdict = await self._parts.voices.whose(samples, rate_hz, self._call.channel)
                known = isinstance(verdict, VoiceMatch)
                self._put(steps.VoiceJudged(self.now_s, verdict))
            except Exception as error:
                self._failed(Part.VOICES, 0, error)
            self._ask_whose(self._voice.answered(known), rate_hz)

        self._start(whose())

    def _ask(
        self,
        part: Part,
        number: int,
        asked: Callable[[], Awaitable[_T]],
        told: Callable[[float, _T], Input],
    ) -> None:
        """The part's answer goes into the inbox, or that it failed."""

        async def answer() -> None:
            try:
                async with asyncio.timeout(self._part_s):
                    found = await asked()
            except Exception as error:
                self._failed(part, number, error)
            else:
                self._put(told(self.now_s, found))

        self._start(answer())

    # --- the robot's voice ---------------------------------------------------------------------

    async def _say(self, say: steps.Say) -> None:
        try:
            lines, turns = self._parts.lines, self._session.turns
            text = say.text if say.line is None else lines.line(say.line, turns)
        except Exception as error:
            self._failed(Part.MOUTH, say.saying, error)
            return
        said = steps.Say(say.saying, say.line, text)
        await self._out(lambda: self._line.tell(said))
        self._interruptible = say.line is not LineKind.GOODBYE
        self._speaking = self._start(self._speak(say.saying, text))

    async def _speak(self, saying: int, text: str) -> None:
        def begun(said: str) -> None:
            self._put(steps.Speaking(self.now_s, saying, said))

        async def play(sound: RobotSound) -> None:
            if not await self._out(lambda: self._line.play(sound)):
                raise asyncio.CancelledError

        try:
            await speak(saying, text, self._parts.mouth, play, begun, self._part_s)
        except Exception as error:
            self._failed(Part.MOUTH, saying, error)
        else:
            self._put(steps.Spoken(self.now_s, saying))

    async def _stop_speaking(self) -> None:
        self._silence()
        await self._out(self._line.clear)

    def _silence(self) -> None:
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None

    # --- tasks ---------------------------------------------------------------------------------

    def _put(self, one: Input) -> None:
        self._inbox.put_nowait(one)

    def _failed(self, part: Part, number: int, error: Exception) -> None:
        _LOG.warning("screening goes on without %s: %s", part, type(error).__name__)
        self._put(steps.PartFailed(self.now_s, part, number))

    async def _out(self, send: Callable[[], Awaitable[None]]) -> bool:
        """Whether the line took it; one that does not is one that the caller has left."""
        try:
            async with asyncio.timeout(self._part_s):
                await send()
        except Exception as error:
            _LOG.info("the line of a screened call is gone: %s", type(error).__name__)
            self._put(steps.CallerLeft(self.now_s))
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _numbered(kind: Callable[[float, int, _T], Input], number: int) -> Callable[[float, _T], Input]:
    return lambda at_s, found: kind(at_s, number, found)
