"""The course of a screened call: the robot's turns, decisions, and every way the call ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from persona_ray.inference.screening import steps
from persona_ray.inference.screening.early import EarlyRule
from persona_ray.inference.screening.policy import Action, Decision, Policy, illegal_probability
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import CategoryJudgement, LineKind, Outcome, Turn
from persona_ray.inference.screening.state import Phase, SessionState
from persona_ray.inference.screening.verdicts import verdict_of

if TYPE_CHECKING:
    from persona_ray.config.screening import ScreeningConfig
    from persona_ray.inference.screening.policy import Wishes
    from persona_ray.inference.screening.steps import Command


class Course:
    """What a session does of itself; `InputCourse` adds what it does upon inputs."""

    def __init__(
        self,
        state: SessionState,
        config: ScreeningConfig,
        wishes: Wishes | None,
        models: Mapping[str, str],
    ) -> None:
        self._state = state
        self._dialogue = config.dialogue
        self._policy = Policy(config.policy, wishes)
        self._rule = EarlyRule(config.policy, config.dialogue.max_turns)
        self._models = models
        self._out: list[Command] = []

    # --- the robot -----------------------------------------------------------------------------

    def _say(self, line: LineKind | None, text: str = "") -> None:
        state = self._state
        if not self._dialogue.enabled:
            self._listen()
            return
        self._stop_speaking()
        number = state.floor.say(line, text, state.now_s)
        self._out.append(steps.Say(number, line, text))

    def _stop_speaking(self) -> None:
        saying = self._state.floor.saying
        if saying is not None:
            self._out.append(steps.StopSpeaking(saying.number))
            self._robot_turn()

    def _robot_turn(self) -> None:
        said = self._state.floor.silence_robot(self._state.now_s)
        if said is not None:
            self._add(*said)

    def _said(self) -> None:
        """The robot has the word no more, by itself."""
        self._robot_turn()
        if self._state.phase is Phase.CLOSING:
            self._end(self._state.outcome, steps.EndCall())
        else:
            self._listen()

    def _listen(self) -> None:
        self._state.floor.listen(self._state.now_s)
        self._out.append(steps.Listen())

    def _respond(self) -> None:
        """The word goes to the robot, once everything that was said is known and judged."""
        state, floor = self._state, self._state.floor
        if state.phase is Phase.AFTER:
            self._conclude_when_known()
            return
        waiting = state.judging.open or state.answering.open
        if floor.hearing or waiting or floor.saying is not None:
            return
        if state.phase is Phase.TALKING and state.caller_turns >= self._dialogue.max_turns:
            self._close(Outcome.SCREENED)
        elif state.phase is Phase.TALKING and state.unanswered and self._dialogue.enabled:
            number = state.answering.ask(state.now_s)
            self._out.append(steps.ChooseAnswer(number, tuple(state.turns), state.judgement))
        elif state.phase in (Phase.TALKING, Phase.MESSAGE):
            state.unanswered = False
            self._listen()

    def _silent(self, line: LineKind = LineKind.SILENCE) -> None:
        """Nobody speaks, or nothing was made out."""
        state = self._state
        state.floor.silences += 1
        if state.floor.silences >= self._dialogue.max_silences:
            state.why = ReasonCode.CALLER_SILENT
            self._close(Outcome.SCREENED)
        else:
            self._say(line)

    def _close(self, outcome: Outcome) -> None:
        """Say goodbye, then end."""
        state = self._state
        self._stop_speaking()
        state.outcome = outcome
        state.enter(Phase.CLOSING)
        if self._dialogue.enabled:
            self._say(LineKind.GOODBYE)
        else:
            self._end(outcome, steps.EndCall())

    def _judge(self) -> None:
        state = self._state
        number = state.judging.ask(state.now_s)
        self._out.append(steps.Judge(number, tuple(state.turns)))

    def _add(self, place: int, turn: Turn) -> None:
        self._state.add_turn(place, turn)
        self._out.append(steps.NoteTurn(turn))

    def _given(self) -> tuple[Command, ...]:
        given, self._out = tuple(self._out), []
        return given

    # --- decisions -----------------------------------------------------------------------------

    def _decide(self, decision: Decision) -> None:
        self._note(decision)
        self._act(decision.action)

    def _note(self, decision: Decision) -> None:
        """What is known of the call from now on; the user is told of it while the call goes on."""
        state, before = self._state, self._state.decision
        if decision.standing is None:
            return
        changed = (before.standing, before.category) != (decision.standing, decision.category)
        state.decision = decision
        if changed:
            state.decided_s = state.now_s
            state.revision += 1
            if state.on_the_line:
                said = steps.Tell(decision.standing, decision.category, decision.reasons)
                self._out.append(said)

    def _act(self, action: Action) -> None:
        state, decision = self._state, self._state.decision
        match action:
            case Action.PASS:
                self._pass(decision)
            case Action.REJECT:
                self._end(Outcome.REJECTED, steps.Reject(decision.reasons))
            case Action.HANG_UP:
                self._end(Outcome.HUNG_UP, steps.HangUp(decision.reasons))
            case Action.ASK:
                state.enter(Phase.ASKING)
                self._ask_user()
            case Action.END:
                self._close(Outcome.SCREENED)
            case Action.MESSAGE:
                self._message()
            case Action.SCREEN if state.phase in (Phase.LOOKING, Phase.ASKING):
                self._pick_up(Phase.TALKING)
                self._say(LineKind.OPENING)
            case Action.SCREEN:
                self._respond()

    def _pick_up(self, phase: Phase) -> None:
        state = self._state
        state.enter(phase)
        if state.picked_up_s is None:
            state.picked_up_s = state.now_s
            self._out.append(steps.PickUp())

    def _message(self) -> None:
        state = self._state
        self._stop_speaking()
        self._pick_up(Phase.MESSAGE)
        state.message_after = state.floor.last_utterance
        state.unanswered = False
        state.answering.drop()
        self._out.append(steps.TakeMessage(self._dialogue.message_s))
        self._say(LineKind.MESSAGE)

    def _ask_user(self) -> None:
        state = self._state
        left_s = max(0.0, state.phase_s + self._policy.config.ask_s - state.now_s)
        known = state.decision
        self._out.append(steps.AskUser(known.category, known.name, known.reasons, left_s))

    def _by_category(self, judgement: CategoryJudgement) -> Decision:
        state = self._state
        illegal = illegal_probability(judgement.probabilities, self._policy.config)
        state.judgement = judgement
        state.revision += 1
        step = self._rule.step(illegal, state.caller_turns, state.armed)
        state.armed, state.threshold = step.armed, step.threshold
        return self._policy.by_category(judgement, step, state.voice)

    # --- the end -------------------------------------------------------------------------------

    def _pass(self, decision: Decision) -> None:
        shown = steps.Pass(decision.name, decision.category, decision.reasons)
        self._end(Outcome.PASSED, shown)

    def _end(self, outcome: Outcome, last: Command | None) -> None:
        """The line is over with command `last`; the verdict follows."""
        state = self._state
        self._stop_speaking()
        state.outcome = outcome
        if last is not None:
            self._out.append(last)
        state.floor.end_talk()
        state.enter(Phase.AFTER)
        self._conclude_when_known()

    def _conclude_when_known(self) -> None:
        state = self._state
        if not state.floor.utterances and not state.judging.open:
            self._conclude()

    def _conclude(self) -> None:
        state = self._state
        if state.phase is not Phase.ENDED:
            state.enter(Phase.ENDED)
        verdict = verdict_of(state, self._policy, self._models, state.why)
        self._out.append(steps.Conclude(verdict))
