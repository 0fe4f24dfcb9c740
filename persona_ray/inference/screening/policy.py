"""What becomes of a call: by its number, by its voice, by what it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from persona_ray.inference.screening.early import Step
from persona_ray.inference.screening.reasons import Reason, ReasonCode, Reasons, in_english
from persona_ray.inference.screening.records import (
    CategoryJudgement,
    Known,
    NotListed,
    Standing,
    VoiceMatch,
    VoiceVerdict,
)

if TYPE_CHECKING:
    from persona_ray.config.screening_policy import PolicyConfig


class Action(StrEnum):
    """What is done with a call. `screen`: it is answered silently, or goes on being so; `end`: the
    robot says goodbye."""

    PASS = "pass"
    REJECT = "reject"
    ASK = "ask"
    MESSAGE = "message"
    SCREEN = "screen"
    END = "end"
    HANG_UP = "hang_up"


@dataclass(frozen=True, slots=True)
class Decision:
    """`standing` None and `category` empty: nothing is known yet. `name`: whom to show."""

    action: Action
    standing: Standing | None = None
    category: str = ""
    name: str = ""
    reasons: Reasons = ()

    @property
    def reason(self) -> str:
        """In English."""
        return in_english(self.reasons)


@dataclass(frozen=True, slots=True)
class Wishes:
    """A user's own: the categories that get through, and what getting through means. They never
    make an illegal category pass."""

    wanted: frozenset[str]
    on_wanted: Action

    @classmethod
    def default(cls, policy: PolicyConfig) -> Wishes:
        """Of a user who has chosen nothing."""
        return cls(frozenset(policy.wanted), Action(policy.on_wanted))


def standing_of(category: str, config: PolicyConfig) -> Standing | None:
    """None: the policy does not know the category; such a one decides nothing."""
    named = config.categories.get(category)
    return None if named is None else Standing(named)


def illegal_probability(probabilities: Mapping[str, float], config: PolicyConfig) -> float:
    """P(illegal): the sum over the categories whose standing is illegal."""
    return sum(
        p for name, p in probabilities.items() if standing_of(name, config) is Standing.ILLEGAL
    )


class Policy:
    """The configured policy with one user's wishes."""

    def __init__(self, config: PolicyConfig, wishes: Wishes | None = None) -> None:
        self.config = config
        self._wishes = wishes or Wishes.default(config)

    def wants(self, category: str) -> bool:
        return category in self._wishes.wanted and not self._is(category, Standing.ILLEGAL)

    def by_source(self, source: Known | NotListed) -> Decision:
        """Before the call is answered."""
        if isinstance(source, NotListed):
            return Decision(Action.SCREEN, reasons=(Reason(ReasonCode.UNKNOWN_NUMBER),))
        code = ReasonCode.OWN_SET if source.owner else ReasonCode.SHARED_SET
        reason = Reason(code, {"standing": source.standing.value, "category": source.category})
        return Decision(
            self._of_source(source), source.standing, source.category, source.name, (reason,)
        )

    def by_voice(self, verdict: VoiceVerdict) -> Decision:
        """While the caller speaks. Nothing but a match decides anything."""
        if not isinstance(verdict, VoiceMatch):
            return Decision(Action.SCREEN)
        values: dict[str, str | float] = {
            "standing": verdict.standing.value,
            "category": verdict.category,
            "score": verdict.score,
            "margin": verdict.margin,
        }
        reasons = (Reason(ReasonCode.KNOWN_VOICE, values),)
        return Decision(
            self._of_voice(verdict), verdict.standing, verdict.category, reasons=reasons
        )

    def by_category(
        self, judgement: CategoryJudgement, early: Step, voice: VoiceVerdict | None = None
    ) -> Decision:
        """After a turn of the caller. `early` is what `EarlyRule` made of the judgement. An
        abnormal voice may leave a message; its words alone do not put it through."""
        illegal = illegal_probability(judgement.probabilities, self.config)
        if early.hang_up:
            best = self._likeliest(judgement, lambda name: self._is(name, Standing.ILLEGAL))
            fraud = Reason(ReasonCode.FRAUD_WORDS, {"category": best, "probability": illegal})
            return Decision(Action.HANG_UP, Standing.ILLEGAL, best, reasons=(fraud,))
        for chosen, standing, among in self._groups():
            action = chosen
            probability = sum(p for name, p in judgement.probabilities.items() if among(name))
            if probability < self.config.sure:
                continue
            if action is Action.PASS:
                if illegal >= self.config.pass_illegal_below:
                    continue
                if isinstance(voice, VoiceMatch) and voice.standing is not Standing.NORMAL:
                    action = Action.MESSAGE
            best = self._likeliest(judgement, among)
            known = standing or standing_of(best, self.config)
            return Decision(action, known, best, reasons=_words(best, judgement))
        return Decision(Action.SCREEN)

    def as_it_stands(self, judgement: CategoryJudgement) -> Decision:
        """What the call seems to be when it ends with nothing decided."""
        best = judgement.category
        standing = standing_of(best, self.config)
        return Decision(Action.SCREEN, standing, best, reasons=_words(best, judgement))

    def _of_source(self, source: Known) -> Action:
        if source.standing is Standing.ILLEGAL:
            return Action.REJECT
        if source.standing is Standing.NORMAL:
            return Action.PASS
        return self._wishes.on_wanted if self.wants(source.category) else Action.ASK

    def _of_voice(self, match: VoiceMatch) -> Action:
        if match.standing is Standing.ILLEGAL:
            return Action.HANG_UP
        if self.wants(match.category):
            return self._wishes.on_wanted
        if match.standing is Standing.ABNORMAL:
            return Action(self.config.on_abnormal_voice)
        return Action.SCREEN

    def _groups(self) -> tuple[tuple[Action, Standing | None, Callable[[str], bool]], ...]:
        """What the categories that are not illegal lead to; the wanted ones come first."""

        def unwanted(standing: Standing) -> Callable[[str], bool]:
            return lambda name: (
                not self.wants(name) and name not in config.vague and self._is(name, standing)
            )

        config = self.config
        return (
            (self._wishes.on_wanted, None, self.wants),
            (
                Action(config.on_abnormal),
                Standing.ABNORMAL,
                unwanted(Standing.ABNORMAL),
            ),
            (Action(config.on_normal), Standing.NORMAL, unwanted(Standing.NORMAL)),
        )

    def _is(self, category: str, standing: Standing) -> bool:
        return standing_of(category, self.config) is standing

    @staticmethod
    def _likeliest(judgement: CategoryJudgement, among: Callable[[str], bool]) -> str:
        named = {name: p for name, p in judgement.probabilities.items() if among(name)}
        return max(named, key=lambda name: named[name]) if named else judgement.category


def _words(category: str, judgement: CategoryJudgement) -> Reasons:
    probability = judgement.probabilities.get(category, 0.0)
    return (Reason(ReasonCode.WORDS, {"category": category, "probability": probability}),)
