"""Any order of inputs: one verdict, nothing after it, no hang-up without evidence, an end."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from persona_ray.config.screening import DialogueConfig, ScreeningConfig
from persona_ray.config.screening_policy import PolicyConfig
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.policy import illegal_probability
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import (
    CallEvent,
    CategoryJudgement,
    Known,
    NotEnoughSpeech,
    NotListed,
    Origin,
    Outcome,
    Speaker,
    Standing,
    VoiceMatch,
    VoiceUnknown,
)
from persona_ray.inference.screening.session import Session
from persona_ray.inference.screening.state import Phase

CALL = CallEvent("c1", "u1", "+8613800000000", datetime(2026, 1, 1, tzinfo=UTC))
CATEGORIES = ("account_fraud", "promotion", "delivery", "personal", "unheard_of")
# After the longest call: goodbye, what is still being judged, and the ticks that see it.
SLACK_S = 60.0

sources = st.one_of(
    st.just(NotListed()),
    st.builds(
        Known,
        number=st.just(CALL.number),
        standing=st.sampled_from(Standing),
        category=st.sampled_from(("", *CATEGORIES)),
        name=st.just("somebody"),
        owner=st.sampled_from(("", "u1")),
        origin=st.just(Origin.REPORTS),
        expires_at=st.none(),
    ),
)
voices = st.one_of(
    st.builds(NotEnoughSpeech, st.just(1.0), st.just(3.0)),
    st.builds(VoiceUnknown, st.one_of(st.none(), st.just(0.3))),
    st.builds(
        VoiceMatch,
        voice_id=st.just("v1"),
        category=st.sampled_from(CATEGORIES),
        standing=st.sampled_from(Standing),
        score=st.just(0.9),
        margin=st.just(0.2),
    ),
)
weights = st.lists(st.sampled_from((0.0, 0.01, 1.0, 30.0)), min_size=5, max_size=5).filter(any)
configs = st.builds(
    ScreeningConfig,
    policy=st.builds(
        PolicyConfig,
        on_wanted=st.sampled_from(("pass", "message")),
        on_normal=st.sampled_from(("pass", "message", "screen")),
        on_abnormal=st.sampled_from(("message", "screen", "end")),
        on_abnormal_voice=st.sampled_from(("message", "screen", "end")),
        on_no_answer=st.sampled_from(("pass", "message", "screen", "reject")),
    ),
    dialogue=st.builds(
        DialogueConfig,
        enabled=st.booleans(),
        max_turns=st.integers(1, 4),
        max_silences=st.integers(1, 3),
    ),
)


def judgement_of(weights: list[float], turns: int) -> CategoryJudgement:
    total = sum(weights)
    shares = {name: w / total for name, w in zip(CATEGORIES, weights, strict=True)}
    return CategoryJudgement(shares, turns, "category 1")


class AnyOrder(RuleBasedStateMachine):
    """Inputs that make sense and others, late answers, clocks that run backwards."""

    @initialize(config=configs)
    def begin(self, config: ScreeningConfig) -> None:
        self.config = config
        self.session, commands = Session.begin(CALL, config)
        self.at_s = 0.0
        self.fed = 0
        self.commands: list[Any] = []
        self.illegal_evidence = False
        self.texts: set[str] = set()
        self.ended_by: list[Any] = []
        self.taken(commands)

    def taken(self, commands: tuple[Any, ...]) -> None:
        # One input has a few consequences, never a cascade.
        assert len(commands) <= 12
        self.commands += commands

    def feed(self, one: Any) -> None:
        self.fed += 1
        ended = self.session.ended
        given = self.session.feed(one)
        assert not (ended and given)
        self.taken(given)

    def last(self, kind: type[Any], field: str) -> int:
        found = [getattr(one, field) for one in self.commands if isinstance(one, kind)]
        return found[-1] if found else 0

    @rule(seconds=st.sampled_from((0.0, 0.3, 3.0, 7.0, 40.0)))
    def wait(self, seconds: float) -> None:
        self.at_s += seconds
        self.feed(steps.Ticked(self.at_s))

    @rule()
    def clock_runs_backwards(self) -> None:
        self.feed(steps.Ticked(self.at_s - 100.0))
        self.feed(steps.Ticked(float("nan")))

    @rule(source=sources)
    def source(self, source: Known | NotListed) -> None:
        self.feed(steps.SourceFound(self.at_s, source))

    @rule(choice=st.sampled_from(steps.Choice))
    def user(self, choice: steps.Choice) -> None:
        self.feed(steps.UserAnswered(self.at_s, choice))

    @rule(kind=st.sampled_from((steps.CallerSpeaks, steps.CallerQuiet)))
    def caller(self, kind: Any) -> None:
        self.feed(kind(self.at_s))

    @rule(number=st.integers(1, 9), early_s=st.sampled_from((0.0, 2.0)))
    def utterance(self, number: int, early_s: float) -> None:
        end_s = self.at_s
        self.feed(steps.UtteranceEnded(self.at_s, number, max(0.0, end_s - early_s), end_s))

    @rule(late=st.integers(0, 1), words=st.booleans())
    def recognized(self, late: int, words: bool) -> None:
        number = self.last(steps.Recognize, "utterance") - late
        text = f"utterance {number}" if words else " "
        self.texts.add(text)
        self.feed(steps.Recognized(self.at_s, number, text))

    @rule(verdict=voices)
    def voice(self, verdict: Any) -> None:
        if isinstance(verdict, VoiceMatch) and verdict.standing is Standing.ILLEGAL:
            self.illegal_evidence = True
        self.feed(steps.VoiceJudged(self.at_s, verdict))

    @rule(late=st.integers(0, 1), weights=weights)
    def category(self, late: int, weights: list[float]) -> None:
        judgement = judgement_of(weights, 1)
        if illegal_probability(judgement.probabilities, self.config.policy) > 0.5:
            self.illegal_evidence = True
        number = self.last(steps.Judge, "judging") - late
        self.feed(steps.CategoryJudged(self.at_s, number, judgement))

    @rule(late=st.integers(0, 1), text=st.sampled_from(("请讲", "")))
    def robot(self, late: int, text: str) -> None:
        number = self.last(steps.ChooseAnswer, "answering") - late
        self.feed(steps.RobotAnswered(self.at_s, number, text))

    @rule(late=st.integers(0, 1))
    def speaking(self, late: int) -> None:
        self.feed(steps.Speaking(self.at_s, self.last(steps.Say, "saying") - late, "您好"))

    @rule(late=st.integers(0, 1))
    def spoken(self, late: int) -> None:
        self.feed(steps.Spoken(self.at_s, self.last(steps.Say, "saying") - late))

    @rule(part=st.sampled_from(steps.Part), number=st.integers(0, 9))
    def failure(self, part: steps.Part, number: int) -> None:
        self.feed(steps.PartFailed(self.at_s, part, number))

    @precondition(lambda self: self.fed > 6)
    @rule()
    def caller_leaves(self) -> None:
        self.feed(steps.CallerLeft(self.at_s))

    @precondition(lambda self: self.fed > 10)
    @rule()
    def breaks_off(self) -> None:
        self.feed(steps.BrokenOff(self.at_s, ReasonCode.SERVICE_FAILED))
        assert self.session.ended

    @precondition(lambda self: not self.session.ended)
    @rule()
    def another_replica_goes_on(self) -> None:
        """By way of JSON; what the dead one was doing is begun anew."""
        kept = json.loads(json.dumps(self.session.dump(), allow_nan=False))
        phase = self.session.phase
        self.session, commands = Session.resume(kept, self.config)
        # Where there is nothing left to judge, the verdict may follow at once.
        assert self.session.phase is phase or phase in (Phase.TALKING, Phase.AFTER, Phase.MESSAGE)
        self.taken(commands)

    @invariant()
    def one_verdict_at_the_end(self) -> None:
        verdicts = [one for one in self.commands if isinstance(one, steps.Conclude)]
        assert len(verdicts) == self.session.ended
        if verdicts:
            assert self.commands[-1] is verdicts[0]
            self.sound(verdicts[0].verdict)

    def sound(self, verdict: Any) -> None:
        assert verdict.call == CALL
        said = {turn.text for turn in verdict.turns if turn.speaker is Speaker.CALLER}
        assert said <= self.texts
        assert [turn.start_s for turn in verdict.turns] == sorted(
            turn.start_s for turn in verdict.turns
        )
        hung_up = any(isinstance(one, steps.HangUp) for one in self.commands)
        assert (verdict.outcome is Outcome.HUNG_UP) == hung_up
        if hung_up:
            assert verdict.standing is Standing.ILLEGAL
        json.dumps(dict(verdict.evidence), allow_nan=False)

    @invariant()
    def hangs_up_on_evidence_alone(self) -> None:
        if any(isinstance(one, steps.HangUp) for one in self.commands):
            assert self.illegal_evidence

    @invariant()
    def the_line_ends_once(self) -> None:
        last = (steps.Pass, steps.Reject, steps.HangUp, steps.EndCall)
        ends = [at for at, one in enumerate(self.commands) if isinstance(one, last)]
        assert len(ends) <= 1
        if ends:
            after = self.commands[ends[0] + 1 :]
            allowed = steps.Judge | steps.NoteTurn | steps.Conclude
            assert all(isinstance(one, allowed) for one in after)

    @invariant()
    def robot_says_one_thing_at_a_time(self) -> None:
        says = [one for one in self.commands if isinstance(one, steps.Say)]
        assert len({one.saying for one in says}) == len(says)
        assert all((one.line is None) == bool(one.text) for one in says)

    @invariant()
    def there_is_always_a_deadline(self) -> None:
        assert (self.session.deadline_s is None) == self.session.ended

    def teardown(self) -> None:
        """Time alone brings every call to its end."""
        if not hasattr(self, "session"):
            return
        longest_s = self.at_s + self.config.dialogue.max_call_s + SLACK_S
        for _ in range(200):
            due_s = self.session.deadline_s
            if due_s is None:
                break
            assert due_s <= longest_s
            self.at_s = max(self.at_s, due_s)
            self.feed(steps.Ticked(self.at_s))
        assert self.session.ended
        self.one_verdict_at_the_end()
        self.hangs_up_on_evidence_alone()
        self.the_line_ends_once()


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
