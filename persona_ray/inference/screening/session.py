"""The machine of a screened call: inputs in, commands out, nothing else.

```
looking -> asking -> talking -> closing -> ended
   |          |        | \\-> message -> closing
   \\----------\\--------\\--------\\-> (after) -> ended
```
`talking` is the dialogue with the robot, or listening where it is disabled. Whoever ends the call,
the line's last command is given at once; where something said is still being recognised or judged,
the verdict waits for it in `after`, for `part_s` at most. Every phase but `ended` has a deadline,
so a call ends whatever fails: without any input but the passing of time it is over
`max_call_s` and a few time-outs after it was picked up. An illegal voice or early rule is what
`HangUp` needs; every other end says goodbye, or just ends.

No IO, no clock: times come with the inputs, and never run backwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from persona_ray.inference.screening import steps
from persona_ray.inference.screening.deadlines import Deadline, deadlines
from persona_ray.inference.screening.inputs import InputCourse
from persona_ray.inference.screening.policy import Action
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import Outcome, Turn
from persona_ray.inference.screening.state import Phase, SessionState, dump_state, read_state
from persona_ray.inference.screening.steps import Command, Input, Part

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.inference.screening.policy import Wishes
    from persona_ray.inference.screening.records import CallEvent


class Session(InputCourse):
    """Of one call. Made by `begin` or `resume`; adds time and the call's own end."""

    @classmethod
    def begin(
        cls,
        call: CallEvent,
        config: ScreeningConfig,
        wishes: Wishes | None = None,
        models: Mapping[str, str] | None = None,
    ) -> tuple[Session, tuple[Command, ...]]:
        """A call that comes in; `models` as in Verdict, but for the category model."""
        session = cls(SessionState(call), config, wishes, models or {})
        return session, (steps.LookUp(),)

    @classmethod
    def resume(
        cls,
        kept: Mapping[str, Any],
        config: ScreeningConfig,
        wishes: Wishes | None = None,
        models: Mapping[str, str] | None = None,
    ) -> tuple[Session, tuple[Command, ...]]:
        """A call whose replica has died, from its last `dump`: what was being recognised is lost
        unless it is heard again; what was being asked or said is begun anew. Raises
        RequestError where another release left it. Of a call that has ended it gives the verdict
        once more: whoever died may not have told it."""
        session = cls(read_state(kept), config, wishes, models or {})
        session._again()
        return session, session._given()

    def dump(self) -> dict[str, Any]:
        """For `resume`, as JSON has it."""
        return dump_state(self._state)

    @property
    def revision(self) -> int:
        """Grows when something has changed that is worth a `dump`."""
        return self._state.revision

    @property
    def phase(self) -> Phase:
        return self._state.phase

    @property
    def ended(self) -> bool:
        return self._state.phase is Phase.ENDED

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(self._state.turns)

    @property
    def now_s(self) -> float:
        """The time of the latest input."""
        return self._state.now_s

    @property
    def last_utterance(self) -> int:
        """The number of the latest utterance; the next one's is higher."""
        return self._state.floor.last_utterance

    @property
    def deadline_s(self) -> float | None:
        """When `Ticked` is due; None where the call has ended."""
        found = deadlines(self._state, self._dialogue, self._policy.config)
        return min((one.at_s for one in found), default=None)

    def feed(self, one: Input) -> tuple[Command, ...]:
        """What is to be done now; nothing after the end. Inputs that come too late, or answer
        what is not asked any more, do nothing."""
        state = self._state
        if self.ended:
            return ()
        if math.isfinite(one.at_s):
            state.now_s = max(state.now_s, one.at_s)
        handler: Callable[[Any], None] = getattr(self, _HANDLERS[type(one)])
        handler(one)
        return self._given()

    # --- the end -------------------------------------------------------------------------------

    def _caller_left(self, _: steps.CallerLeft) -> None:
        state = self._state
        left = state.outcome if state.phase is Phase.CLOSING else Outcome.CALLER_LEFT
        if state.left_a_message:
            left = Outcome.MESSAGE
        if state.phase is not Phase.AFTER:
            self._end(left, None)

    def _broken_off(self, one: steps.BrokenOff) -> None:
        """By the service itself; a call that is over keeps its outcome."""
        state = self._state
        if state.phase is not Phase.AFTER:
            state.why = one.why
            self._end(Outcome.BROKEN_OFF, steps.EndCall())
        if not self.ended:
            self._conclude()

    # --- time ----------------------------------------------------------------------------------

    def _ticked(self, _: steps.Ticked) -> None:
        """One deadline at a time: another one that has passed is the next tick's."""
        state = self._state
        found = deadlines(state, self._dialogue, self._policy.config)
        due = [one for one in found if one.at_s <= state.now_s]
        if due:
            self._late(min(due, key=lambda one: one.at_s))

    def _late(self, due: Deadline) -> None:
        state, floor = self._state, self._state.floor
        match due.what:
            case "part":
                assert due.part is not None
                self._part_failed(steps.PartFailed(state.now_s, due.part, due.number))
            case "ask":
                action = Action(self._policy.config.on_no_answer)
                if action in (Action.PASS, Action.REJECT):
                    state.why = ReasonCode.NO_ANSWER
                self._act(action)
            case "after":
                for part, waits in (
                    (Part.EARS, bool(floor.utterances)),
                    (Part.CATEGORIES, state.judging.open),
                ):
                    if waits:
                        state.miss(part)
                self._conclude()
            case "talk":
                self._caller_quiet(steps.CallerQuiet(state.now_s))
            case "closing":
                self._end(state.outcome, steps.EndCall())
            case "call":
                state.why = ReasonCode.LONGEST_CALL
                self._close(Outcome.MESSAGE if state.left_a_message else Outcome.SCREENED)
            case "silence" if state.phase is Phase.MESSAGE:
                self._close(Outcome.MESSAGE if state.left_a_message else Outcome.SCREENED)
            case "silence":
                self._silent()

    # --- a call that is gone on with -----------------------------------------------------------

    def _again(self) -> None:
        state, floor = self._state, self._state.floor
        if state.phase is Phase.ENDED:
            self._conclude()
            return
        saying, floor.saying = floor.saying, None
        floor.utterances.clear()
        floor.end_talk()
        state.answering.drop()
        if state.phase is Phase.LOOKING:
            self._out.append(steps.LookUp())
        elif state.phase is Phase.ASKING:
            self._ask_user()
        elif state.judging.open:
            self._judge()
        elif saying is not None:
            self._say(saying.line, saying.text)
        else:
            self._respond()


def end_so_far(
    kept: Mapping[str, Any],
    config: ScreeningConfig,
    why: ReasonCode,
    wishes: Wishes | None = None,
) -> tuple[Command, ...]:
    """What is to be done about a call that nobody goes on with, from its last `dump`: the last is
    `Conclude`. Raises RequestError where another release left it."""
    session, begun = Session.resume(kept, config, wishes)
    return (*begun, *session.feed(steps.BrokenOff(session.now_s, why)))


_HANDLERS: dict[type[Any], str] = {
    steps.SourceFound: "_source_found",
    steps.UserAnswered: "_user_answered",
    steps.CallerSpeaks: "_caller_speaks",
    steps.CallerQuiet: "_caller_quiet",
    steps.UtteranceEnded: "_utterance_ended",
    steps.Recognized: "_recognized",
    steps.VoiceJudged: "_voice_judged",
    steps.CategoryJudged: "_category_judged",
    steps.RobotAnswered: "_robot_answered",
    steps.Speaking: "_speaking",
    steps.Spoken: "_spoken",
    steps.CallerLeft: "_caller_left",
    steps.Ticked: "_ticked",
    steps.PartFailed: "_part_failed",
    steps.BrokenOff: "_broken_off",
}
