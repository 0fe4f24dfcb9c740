"""What the session of a screened call does upon its inputs: what the user wants, what the caller
does, what the parts answer."""

from __future__ import annotations

import math
from collections.abc import Iterable

from persona_ray.inference.screening import steps
from persona_ray.inference.screening.course import Course
from persona_ray.inference.screening.policy import Action
from persona_ray.inference.screening.reasons import Reason, ReasonCode
from persona_ray.inference.screening.records import (
    LineKind,
    NotListed,
    Outcome,
    Speaker,
    Turn,
    VoiceMatch,
)
from persona_ray.inference.screening.state import Phase
from persona_ray.inference.screening.steps import Choice, Part

# Utterances in a row that were not recognised; then the caller is asked for a message.
_DEAF = 2


class InputCourse(Course):
    """Inputs of the user, the caller and the parts, and what follows from each."""

    # --- before the call is answered -----------------------------------------------------------

    def _source_found(self, one: steps.SourceFound) -> None:
        state = self._state
        if state.phase is not Phase.LOOKING:
            return
        state.source = one.source
        decision = self._policy.by_source(one.source)
        self._note(decision)
        if decision.action is Action.ASK and one.choice is not None:
            state.enter(Phase.ASKING)
            self._user_answered(steps.UserAnswered(state.now_s, one.choice))
        else:
            self._act(decision.action)

    def _user_answered(self, one: steps.UserAnswered) -> None:
        state = self._state
        if state.phase is Phase.AFTER:
            return
        if one.choice is Choice.PASS:
            state.why = ReasonCode.USER_TOOK
            self._pass(state.decision)
        elif one.choice is Choice.REJECT:
            state.why = ReasonCode.USER_REJECTED
            self._end(Outcome.REJECTED, steps.Reject((Reason(state.why),)))
        elif state.phase is Phase.ASKING:
            self._act(Action(one.choice.value))
        elif state.phase is Phase.TALKING and one.choice is Choice.MESSAGE:
            self._act(Action.MESSAGE)

    # --- the caller ----------------------------------------------------------------------------

    def _caller_speaks(self, _: steps.CallerSpeaks) -> None:
        state = self._state
        if state.phase in (Phase.TALKING, Phase.MESSAGE):
            self._stop_speaking()
            state.floor.begin_talk(state.now_s)

    def _caller_quiet(self, _: steps.CallerQuiet) -> None:
        if self._state.floor.talking:
            self._state.floor.end_talk()
            self._respond()

    def _utterance_ended(self, one: steps.UtteranceEnded) -> None:
        state = self._state
        if state.phase not in (Phase.TALKING, Phase.MESSAGE):
            return
        if state.floor.utterance(one.utterance, one.start_s, one.end_s, state.now_s):
            self._stop_speaking()
            self._out.append(steps.Recognize(one.utterance))

    def _recognized(self, one: steps.Recognized) -> None:
        state = self._state
        utterance = state.floor.utterances.pop(one.utterance, None)
        if utterance is None:
            return
        state.deaf = 0
        text = one.text.strip()
        if text:
            state.heard(one.utterance)
            # An answer that is being chosen knows nothing of it.
            state.answering.drop()
            turn = Turn(Speaker.CALLER, text, utterance.start_s, utterance.end_s)
            self._add(utterance.place, turn)
            state.floor.silences = 0
            state.unanswered = True
            self._judge()
        else:
            self._nothing_heard()

    def _nothing_heard(self) -> None:
        """An utterance without words."""
        state = self._state
        if state.phase is not Phase.TALKING or state.unanswered or state.floor.hearing:
            self._respond()
        else:
            self._silent(LineKind.REPEAT)

    # --- what the parts say --------------------------------------------------------------------

    def _voice_judged(self, one: steps.VoiceJudged) -> None:
        state = self._state
        match one.verdict:
            case VoiceMatch(score=score, margin=margin) if not _sound((score, margin)):
                self._part_failed(steps.PartFailed(state.now_s, Part.VOICES))
                return
        if not state.on_the_line or not state.hear_voice(one.verdict):
            return
        decision = self._policy.by_voice(one.verdict)
        self._note(decision)
        if decision.action is Action.SCREEN:
            return
        if decision.action is Action.HANG_UP or state.phase is Phase.TALKING:
            self._act(decision.action)

    def _category_judged(self, one: steps.CategoryJudged) -> None:
        state = self._state
        if not _sound(one.judgement.probabilities.values()):
            self._part_failed(steps.PartFailed(state.now_s, Part.CATEGORIES, one.judging))
            return
        if not state.judging.close(one.judging):
            return
        decision = self._by_category(one.judgement)
        if state.phase is Phase.AFTER:
            self._note(decision)
            self._conclude_when_known()
        elif decision.action is Action.HANG_UP or state.phase is Phase.TALKING:
            self._decide(decision)
        else:
            self._note(decision)
            self._respond()

    def _robot_answered(self, one: steps.RobotAnswered) -> None:
        state = self._state
        if state.answering.close(one.answering):
            self._answer(one.text.strip())

    def _answer(self, text: str) -> None:
        """What was said while the answer was being chosen is answered together with the rest."""
        state = self._state
        if state.phase is Phase.TALKING and not state.floor.hearing:
            state.unanswered = False
            self._say(None if text else LineKind.REPEAT, text)

    def _part_failed(self, one: steps.PartFailed) -> None:
        state = self._state
        part, number = one.part, one.number
        match part:
            case Part.SOURCES:
                if state.phase is Phase.LOOKING:
                    state.miss(part)
                    self._source_found(steps.SourceFound(state.now_s, NotListed()))
            case Part.VOICES:
                state.miss(part)
            case Part.EARS:
                if state.floor.utterances.pop(number, None) is not None:
                    state.miss(part)
                    state.heard(number)
                    self._deaf()
            case Part.CATEGORIES:
                if state.judging.close(number):
                    state.miss(part)
                    self._respond()
            case Part.ROBOT:
                if state.answering.close(number):
                    state.miss(part)
                    self._answer("")
            case Part.MOUTH:
                if state.floor.saying is not None and state.floor.saying.number == number:
                    state.miss(part)
                    self._said()

    def _deaf(self) -> None:
        """The recogniser fails: the caller is asked to repeat, then for a message."""
        state = self._state
        state.deaf += 1
        if state.phase is Phase.TALKING and state.deaf >= _DEAF and self._dialogue.enabled:
            self._act(Action.MESSAGE)
        else:
            self._nothing_heard()

    def _speaking(self, one: steps.Speaking) -> None:
        self._state.floor.speaking(one.saying, one.text, self._state.now_s)

    def _spoken(self, one: steps.Spoken) -> None:
        saying = self._state.floor.saying
        if saying is not None and saying.number == one.saying:
            self._said()


def _sound(numbers: Iterable[float]) -> bool:
    """Whether a model's numbers are some: a network may give NaN."""
    found = list(numbers)
    return bool(found) and all(math.isfinite(number) for number in found)
