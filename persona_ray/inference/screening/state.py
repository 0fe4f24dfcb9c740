"""The state of a screened call, as the machine has it and as the store keeps it."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter, ValidationError

from persona_ray.errors import RequestError
from persona_ray.inference.screening.policy import Action, Decision
from persona_ray.inference.screening.reasons import ReasonCode
from persona_ray.inference.screening.records import (
    CallEvent,
    CategoryJudgement,
    Known,
    NotListed,
    Outcome,
    Speaker,
    Turn,
    VoiceMatch,
    VoiceUnknown,
    VoiceVerdict,
)
from persona_ray.inference.screening.steps import Part
from persona_ray.inference.screening.turns import Asked, Floor

VERSION = 2


class Phase(StrEnum):
    """How far a call is. `after`: the line is gone, what was said last is still being judged."""

    LOOKING = "looking"
    ASKING = "asking"
    TALKING = "talking"
    MESSAGE = "message"
    CLOSING = "closing"
    AFTER = "after"
    ENDED = "ended"


@dataclass(slots=True)
class SessionState:
    """Everything a session knows. `outcome` counts from `closing` on; `decided_s` None: nothing is
    decided; `armed` as in EarlyRule; `missing` counts how often a part gave no answer.
    `message_after`: the last utterance before the caller was asked for a message. `why`: how the
    call ended, where the outcome does not say. `revision` grows with what is worth keeping."""

    call: CallEvent
    version: int = VERSION
    phase: Phase = Phase.LOOKING
    now_s: float = 0.0
    phase_s: float = 0.0
    picked_up_s: float | None = None
    outcome: Outcome = Outcome.SCREENED
    source: Known | NotListed | None = None
    turns: list[Turn] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    floor: Floor = field(default_factory=Floor)
    judging: Asked = field(default_factory=Asked)
    answering: Asked = field(default_factory=Asked)
    unanswered: bool = False
    deaf: int = 0
    message_after: int | None = None
    message_left: bool = False
    voice: VoiceVerdict | None = None
    judgement: CategoryJudgement | None = None
    armed: bool = False
    threshold: float | None = None
    decision: Decision = field(default_factory=lambda: Decision(Action.SCREEN))
    decided_s: float | None = None
    missing: dict[Part, int] = field(default_factory=dict)
    why: ReasonCode | None = None
    revision: int = 0

    @property
    def caller_turns(self) -> int:
        return sum(turn.speaker is Speaker.CALLER for turn in self.turns)

    @property
    def on_the_line(self) -> bool:
        """The caller hears and is heard."""
        return self.phase in (Phase.TALKING, Phase.MESSAGE, Phase.CLOSING)

    def heard(self, utterance: int) -> None:
        """Something was said, whether it was understood or not."""
        if self.message_after is not None and utterance > self.message_after:
            self.message_left = True

    @property
    def left_a_message(self) -> bool:
        """Something was said, or is being said, since the caller was asked for a message."""
        begun = self.message_after
        return begun is not None and (
            self.message_left
            or self.floor.talking
            or any(number > begun for number in self.floor.utterances)
        )

    def enter(self, phase: Phase) -> None:
        self.phase = phase
        self.phase_s = self.now_s
        self.revision += 1

    def add_turn(self, place: int, turn: Turn) -> None:
        """In the order of `places`: what is recognised late may have been said early."""
        at = bisect.bisect(self.places, place)
        self.places.insert(at, place)
        self.turns.insert(at, turn)
        self.revision += 1

    def miss(self, part: Part) -> None:
        self.missing[part] = self.missing.get(part, 0) + 1

    def hear_voice(self, verdict: VoiceVerdict) -> bool:
        """Whether it says more than what was known: a match stays, and so does Unknown until
        there is a match."""
        if isinstance(self.voice, VoiceMatch):
            return False
        if isinstance(self.voice, VoiceUnknown) and not isinstance(
            verdict, VoiceMatch | VoiceUnknown
        ):
            return False
        self.voice = verdict
        self.revision += 1
        return True


@functools.cache
def _adapter() -> TypeAdapter[SessionState]:
    return TypeAdapter(SessionState)


def dump_state(state: SessionState) -> dict[str, Any]:
    """As JSON has it. It holds what was said: personal data."""
    dumped: dict[str, Any] = _adapter().dump_python(state, mode="json")
    return dumped


def read_state(kept: Mapping[str, Any]) -> SessionState:
    """Raises RequestError where another release left it."""
    try:
        state = _adapter().validate_python(dict(kept))
    except ValidationError:
        state = None
    if state is None or state.version != VERSION:
        raise RequestError(
            "screening.changed",
            "the service was changed since the call began, in what it keeps of a call",
            status=409,
            fix="end the call",
        )
    return state
