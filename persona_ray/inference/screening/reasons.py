"""What a decision or a verdict rests on: a code with its values. Sentences are made where they are
shown: in English here, for logs of events and other programs, and on the pages in their language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ReasonCode(StrEnum):
    """A code never changes its meaning. Values stand in braces in `_ENGLISH`."""

    UNKNOWN_NUMBER = "unknown_number"
    OWN_SET = "own_set"
    SHARED_SET = "shared_set"
    KNOWN_VOICE = "known_voice"
    FRAUD_WORDS = "fraud_words"
    WORDS = "words"
    NO_ANSWER = "no_answer"
    USER_TOOK = "user_took"
    USER_REJECTED = "user_rejected"
    CALLER_LEFT = "caller_left"
    MESSAGE_LEFT = "message_left"
    ROBOT_ENDED = "robot_ended"
    CALLER_SILENT = "caller_silent"
    LONGEST_CALL = "longest_call"
    NO_SOUND = "no_sound"
    LINE_LOST = "line_lost"
    SERVICE_FAILED = "service_failed"
    PARTS_MISSING = "parts_missing"


_ENGLISH = {
    ReasonCode.UNKNOWN_NUMBER: "the number is not known",
    ReasonCode.OWN_SET: "the number is in your own {standing} set{about}",
    ReasonCode.SHARED_SET: "the number is in the shared {standing} set{about}",
    ReasonCode.KNOWN_VOICE: (
        "the voice is a known {standing} one ({category}): score {score:.2f}, "
        "{margin:.2f} above any other"
    ),
    ReasonCode.FRAUD_WORDS: (
        "what is said is {category} or another fraud with probability {probability:.2f}"
    ),
    ReasonCode.WORDS: "what is said is {category} with probability {probability:.2f}",
    ReasonCode.NO_ANSWER: "the user did not answer",
    ReasonCode.USER_TOOK: "the user took the call",
    ReasonCode.USER_REJECTED: "the user rejected the call",
    ReasonCode.CALLER_LEFT: "the caller hung up",
    ReasonCode.MESSAGE_LEFT: "the caller left a message",
    ReasonCode.ROBOT_ENDED: "the robot ended the call",
    ReasonCode.CALLER_SILENT: "the caller said nothing more",
    ReasonCode.LONGEST_CALL: "the longest time of a call was reached",
    ReasonCode.NO_SOUND: "nobody sent the caller's sound",
    ReasonCode.LINE_LOST: "the line broke, and nobody went on with the call",
    ReasonCode.SERVICE_FAILED: "the service failed",
    ReasonCode.PARTS_MISSING: "without an answer from: {parts}",
}


@dataclass(frozen=True, slots=True)
class Reason:
    """`values`: what its sentence needs, by name; `category` may be empty: not known."""

    code: ReasonCode
    values: Mapping[str, str | float] = field(default_factory=dict)

    def __str__(self) -> str:
        named = self.values.get("category", "")
        values = dict(self.values) | {
            "category": named or "no category",
            "about": f" for {named}" if named else "",
        }
        return _ENGLISH[self.code].format(**values)


Reasons = tuple[Reason, ...]


def in_english(reasons: Iterable[Reason]) -> str:
    """One sentence, its parts divided by semicolons; empty where there are none."""
    return "; ".join(map(str, reasons))
