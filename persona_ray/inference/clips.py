"""What goes into and comes out of recognition, as plain records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from persona_ray.types import Samples


@dataclass(frozen=True, slots=True)
class ClipInput:
    """One sentence: `samples` (n,) at `sample_rate_hz`, and its text where it is known.

    Without `text` a model that reads has it recognised; without `samples` (None) only a model
    that does not hear can judge it.
    """

    samples: Samples | None
    sample_rate_hz: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ClipRecognition:
    """The result for one clip and the text it was judged by (None: the model does not read)."""

    result: Recognition | NothingUsable
    text: str | None

    def to_dict(self) -> dict[str, Any]:
        return {**result_to_dict(self.result), "text": self.text}


@dataclass(frozen=True, slots=True)
class SentenceRecognition:
    """One sentence of a call, from `start_s` to `end_s`; `text` None where it was not read."""

    start_s: float
    end_s: float
    text: str | None
    result: Recognition | NothingUsable

    def to_dict(self) -> dict[str, Any]:
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "text": self.text,
            **result_to_dict(self.result),
        }


@dataclass(frozen=True, slots=True)
class CallRecognition:
    """The result for a call and for each of its usable sentences, in order of time."""

    result: Recognition | NothingUsable
    sentences: tuple[SentenceRecognition, ...]
    flags: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            **result_to_dict(self.result),
            "flags": list(self.flags),
            "sentences": [sentence.to_dict() for sentence in self.sentences],
        }


def combine(results: Sequence[Recognition | NothingUsable]) -> Recognition | NothingUsable:
    """Of one speaker's clips: the sum of their probabilities, normalised to 1.

    Results without a colour are left out; if none is left, so says the result. All results must
    be of one model; ValueError otherwise.
    """
    usable = [result for result in results if isinstance(result, Recognition)]
    if not usable:
        reasons = sorted({result.reason for result in results if isinstance(result, NothingUsable)})
        return NothingUsable("; ".join(reasons) or "no sentence to judge")
    labels = tuple(usable[0].probabilities)
    if any(tuple(result.probabilities) != labels for result in usable):
        raise ValueError("recognitions of models with different labels cannot be combined")
    # Each counts by its clips, so that combining sets equals combining all their clips at once.
    sums = {
        label: sum(result.probabilities[label] * result.clips for result in usable)
        for label in labels
    }
    total = sum(sums.values())
    return Recognition(
        {label: value / total for label, value in sums.items()},
        clips=sum(result.clips for result in usable),
    )


def result_to_dict(result: Recognition | NothingUsable) -> dict[str, Any]:
    """For JSON: one shape for both outcomes, `primary` null where there is no colour."""
    if isinstance(result, NothingUsable):
        return {
            "primary": None,
            "secondary": None,
            "probabilities": None,
            "clips": 0,
            "reason": result.reason,
        }
    probabilities: Mapping[str, float] = result.probabilities
    return {
        "primary": result.primary,
        "secondary": result.secondary,
        "probabilities": dict(probabilities),
        "clips": result.clips,
        "reason": None,
    }
