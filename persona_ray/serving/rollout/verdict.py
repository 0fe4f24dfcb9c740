"""Is the challenger taken back? Decided by what was seen of requests that both models answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING

from persona_ray.serving.rollout.evidence import log_e_above, log_e_below

if TYPE_CHECKING:
    from persona_ray.config.serving import RolloutConfig

# Of two models that are alike, either one is the only one that fails, or the slower one, as often
# as the other.
EVEN = 0.5


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests. First where they went, then what was seen of those that both models answered.

    `fallbacks`: the champion answered a request of the canary. `dropped`: both should have
    answered, but too many such were under way. `busy`: one had no room, which says nothing of it.
    `pairs` = one failed (`challenger_failed`, `champion_failed`) + both failed + both answered
    (`timed`, of which the challenger was too slow in `slower`). `coloured`: at least one gave a
    colour; `differing` adds up the share of colours that differ in each.
    """

    champion: float = 0
    canary: float = 0
    fallbacks: float = 0
    shadows: float = 0
    dropped: float = 0
    busy: float = 0
    pairs: float = 0
    challenger_failed: float = 0
    champion_failed: float = 0
    timed: float = 0
    slower: float = 0
    coloured: float = 0
    differing: float = 0

    def __add__(self, other: Counts) -> Counts:
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})

    def __bool__(self) -> bool:
        return self != Counts()

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_dict(cls, tree: Mapping[str, float]) -> Counts:
        """Counts of names that this release does not know are left out."""
        return cls(**{field.name: tree.get(field.name, 0) for field in fields(cls)})


class Question(StrEnum):
    """What is asked of the challenger."""

    ERRORS = "errors"
    LATENCY = "latency"
    COLOURS = "colours"


@dataclass(frozen=True, slots=True)
class Finding:
    """Evidence that the rate total / seen lies above `limit`; `log_e_within`: that it is below."""

    question: Question
    seen: float
    total: float
    limit: float
    log_e: float
    log_e_within: float

    @property
    def e_value(self) -> float:
        """As large as a float can be shown in JSON, at most."""
        return math.exp(min(self.log_e, 700.0))

    @property
    def p_value(self) -> float:
        """Valid whenever one looks: 1 / e, at most 1."""
        return math.exp(-max(self.log_e, 0.0))


@dataclass(frozen=True, slots=True)
class Undecided:
    """Neither is shown."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """Shown to be within the limits of latency and colours; of its errors none speaks against."""


@dataclass(frozen=True, slots=True)
class RollBack:
    """`reason` with figures, on one line."""

    reason: str


Verdict = Undecided | Healthy | RollBack


def findings(counts: Counts, config: RolloutConfig) -> tuple[Finding, ...]:
    """For each question, the evidence so far."""
    one_failed = counts.challenger_failed + counts.champion_failed
    asked = (
        (Question.ERRORS, one_failed, counts.challenger_failed, EVEN),
        (Question.LATENCY, counts.timed, counts.slower, EVEN),
        (Question.COLOURS, counts.coloured, counts.differing, config.max_disagreement),
    )
    return tuple(
        Finding(
            question,
            seen,
            total,
            limit,
            log_e_above(seen, total, limit),
            log_e_below(seen, total, limit),
        )
        for question, seen, total, limit in asked
    )


def judge(counts: Counts, config: RolloutConfig) -> Verdict:
    """May be asked after every request: false roll-backs stay below `config.significance` in all.

    Each of the three questions has a third of it. That a challenger is healthy needs all of them,
    and takes nothing back, so that it has the whole.
    """
    if counts.pairs < config.min_requests:
        return Undecided()
    found = findings(counts, config)
    needed = math.log(len(found) / config.significance)
    worst = max(found, key=lambda finding: finding.log_e)
    if worst.log_e >= needed:
        return RollBack(_reason(worst, counts, config))
    shown = math.log(1 / config.significance)
    bounded = [finding for finding in found if finding.question is not Question.ERRORS]
    if all(finding.log_e_within >= shown for finding in bounded):
        return Healthy()
    return Undecided()


def _reason(finding: Finding, counts: Counts, config: RolloutConfig) -> str:
    match finding.question:
        case Question.ERRORS:
            what = (
                f"it failed in {counts.challenger_failed:g} of {counts.pairs:g} requests that the "
                f"champion answered, the champion in {counts.champion_failed:g} that it answered"
            )
        case Question.LATENCY:
            what = (
                f"it took more than {config.max_slowdown:g} times as long in {finding.total:g} of "
                f"{finding.seen:g} requests"
            )
        case Question.COLOURS:
            what = (
                f"{finding.total / finding.seen:.1%} of the colours of {finding.seen:g} requests "
                f"differ, {finding.limit:.1%} are borne"
            )
    return f"{finding.question}: {what} (p = {finding.p_value:.2g} over all looks)"
