"""By when something must have happened in a screened call: no phase waits for ever."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from persona_ray.inference.screening.state import Phase, SessionState
from persona_ray.inference.screening.steps import Part
from persona_ray.inference.screening.turns import LONGEST_TALK_S, STUCK_S

if TYPE_CHECKING:
    from persona_ray.config.screening import DialogueConfig
    from persona_ray.config.screening_policy import PolicyConfig

# Whoever asks the parts gives up after `part_s` and says so; where nothing is said, this is added.
_GRACE_S = 1.0
# The longest goodbye.
_CLOSING_S = 15.0

What = Literal["part", "ask", "after", "talk", "closing", "call", "silence"]


@dataclass(frozen=True, slots=True)
class Deadline:
    """At `at_s`. `part` and `number` as in `PartFailed`, where it is a part's."""

    at_s: float
    what: What
    part: Part | None = None
    number: int = 0


def deadlines(
    state: SessionState, dialogue: DialogueConfig, policy: PolicyConfig
) -> list[Deadline]:
    """At least one in every phase but the last."""
    part_s = dialogue.part_s + _GRACE_S
    match state.phase:
        case Phase.LOOKING:
            return [Deadline(state.phase_s + part_s, "part", Part.SOURCES)]
        case Phase.ASKING:
            return [Deadline(state.phase_s + policy.ask_s, "ask")]
        case Phase.AFTER:
            return [Deadline(state.phase_s + part_s, "after")]
        case Phase.CLOSING:
            return [Deadline(state.phase_s + _CLOSING_S, "closing"), *_of_parts(state, part_s)]
        case Phase.ENDED:
            return []
    return [
        *_of_the_call(state, dialogue),
        *_of_the_floor(state, dialogue),
        *_of_parts(state, part_s),
    ]


def _of_the_call(state: SessionState, dialogue: DialogueConfig) -> list[Deadline]:
    picked_up_s = state.phase_s if state.picked_up_s is None else state.picked_up_s
    found = [Deadline(picked_up_s + dialogue.max_call_s, "call")]
    if state.phase is Phase.MESSAGE:
        found.append(Deadline(state.phase_s + dialogue.message_s, "call"))
    return found


def _of_the_floor(state: SessionState, dialogue: DialogueConfig) -> list[Deadline]:
    floor, found = state.floor, []
    if floor.talking_s is not None:
        found.append(Deadline(floor.talking_s + LONGEST_TALK_S, "talk"))
    if floor.quiet_s is not None:
        found.append(Deadline(floor.quiet_s + dialogue.silence_s, "silence"))
    return found


def _of_parts(state: SessionState, part_s: float) -> list[Deadline]:
    floor, found = state.floor, []
    for number, utterance in floor.utterances.items():
        found.append(Deadline(utterance.since_s + part_s, "part", Part.EARS, number))
    for asked, part in ((state.judging, Part.CATEGORIES), (state.answering, Part.ROBOT)):
        if asked.since_s is not None:
            found.append(Deadline(asked.since_s + part_s, "part", part, asked.number))
    if floor.saying is not None:
        stuck_s = floor.saying.alive_s + STUCK_S
        found.append(Deadline(stuck_s, "part", Part.MOUTH, floor.saying.number))
    return found
