"""A session that is told what happens, a second after the other."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, TypeVar

from persona_ray.config.screening import ScreeningConfig
from persona_ray.inference.screening import steps
from persona_ray.inference.screening.policy import Wishes
from persona_ray.inference.screening.records import (
    CallEvent,
    CategoryJudgement,
    Known,
    NotListed,
    Origin,
    Standing,
    Verdict,
    VoiceMatch,
)
from persona_ray.inference.screening.session import Session
from persona_ray.inference.screening.steps import Command

CALL = CallEvent("c1", "u1", "+8613800000000", datetime(2026, 1, 1, tzinfo=UTC))
ILLEGAL_VOICE = VoiceMatch("v1", "account_fraud", Standing.ILLEGAL, 0.9, 0.2)
ABNORMAL_VOICE = VoiceMatch("v2", "promotion", Standing.ABNORMAL, 0.8, 0.1)
CommandT = TypeVar("CommandT")


class Played:
    """A session and its commands; each input comes a second after the last."""

    def __init__(self, wishes: Wishes | None = None, **sections: Any) -> None:
        self.config = ScreeningConfig.model_validate(sections)
        self.session, first = Session.begin(CALL, self.config, wishes, {"voice": "ge2e 1"})
        self.at_s = 0.0
        self.all: list[Command] = [*first]
        self.utterances = 0

    def feed(self, kind: Any, *fields: Any, after_s: float = 1.0) -> tuple[Command, ...]:
        self.at_s += after_s
        given = self.session.feed(kind(self.at_s, *fields))
        self.all += given
        return given

    def last(self, kind: type[CommandT]) -> CommandT:
        return [one for one in self.all if isinstance(one, kind)][-1]

    def count(self, kind: type[Any]) -> int:
        return sum(isinstance(one, kind) for one in self.all)

    def picked_up(self, source: Known | NotListed | None = None) -> Played:
        self.feed(steps.SourceFound, source or NotListed())
        if self.all and isinstance(self.all[-1], steps.Say):
            self.spoken()
        return self

    def spoken(self, text: str = "请讲") -> tuple[Command, ...]:
        number = self.last(steps.Say).saying
        return (*self.feed(steps.Speaking, number, text), *self.feed(steps.Spoken, number))

    def says(self, text: str) -> tuple[Command, ...]:
        """The caller, whole: begun, ended, recognised."""
        self.utterances += 1
        self.feed(steps.CallerSpeaks)
        self.feed(steps.UtteranceEnded, self.utterances, self.at_s - 1, self.at_s)
        return self.feed(steps.Recognized, self.utterances, text)

    def judged(self, **probabilities: float) -> tuple[Command, ...]:
        rest = 1 - sum(probabilities.values())
        judgement = CategoryJudgement({**probabilities, "other": rest}, 1, "m 1")
        return self.feed(steps.CategoryJudged, self.last(steps.Judge).judging, judgement)

    def answered(self, text: str = "请您接着说。") -> tuple[Command, ...]:
        return self.feed(steps.RobotAnswered, self.last(steps.ChooseAnswer).answering, text)

    @property
    def verdict(self) -> Verdict:
        return self.last(steps.Conclude).verdict


def kinds(commands: tuple[Command, ...]) -> list[type[Any]]:
    return [type(one) for one in commands]


def known(standing: Standing, category: str = "") -> Known:
    return Known(CALL.number, standing, category, "Li", "", Origin.REPORTS, None)
