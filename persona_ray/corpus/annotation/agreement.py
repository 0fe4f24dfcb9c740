"""How far annotators agree.

Krippendorff's alpha for nominal data (Krippendorff, Content Analysis, 2004, chapter 11): 1 is
perfect agreement, 0 what chance would give. `uncertain` counts as a label like any other. The
adjudicator is left out, who decides after seeing the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

# Labels of one clip by annotator.
Votes = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two annotators on the clips that both labelled; `alpha` is None where it is undefined."""

    first: str
    second: str
    clips: int
    same: int
    alpha: float | None


@dataclass(frozen=True, slots=True)
class AnnotatorFigures:
    """One annotator: clips labelled, how often each label, and votes equal to others' votes.

    `same` of `compared` comparisons with another annotator of the same clip agree.
    """

    name: str
    clips: int
    labels: Mapping[str, int]
    same: int
    compared: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """`alpha` is None where it is undefined: no clip has two annotators, or only one label is used.

    `clips` counts those with at least two annotators.
    """

    alpha: float | None
    clips: int
    pairs: tuple[Pair, ...]
    annotators: tuple[AnnotatorFigures, ...]

    def describe(self) -> str:
        """One line for people."""
        if self.clips == 0:
            return "agreement: no clip has two annotators"
        if self.alpha is None:
            return f"agreement: alpha is undefined, all {self.clips} clips bear the same label"
        return (
            f"agreement: Krippendorff's alpha {self.alpha:.3f} over {self.clips} clips with two "
            f"or more of {len(self.annotators)} annotators"
        )


def measure_agreement(clips: Iterable[Votes], adjudicator: str) -> Agreement:
    """Agreement over `clips`, each its labels by annotator."""
    votes = [{name: label for name, label in clip.items() if name != adjudicator} for clip in clips]
    labels: dict[str, Counter[str]] = {}
    pairs: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for clip in votes:
        for name, label in clip.items():
            labels.setdefault(name, Counter())[label] += 1
        for first, second in combinations(sorted(clip), 2):
            pairs.setdefault((first, second), Counter())[clip[first], clip[second]] += 1
    return Agreement(
        alpha=nominal_alpha(Counter(clip.values()) for clip in votes),
        clips=sum(len(clip) > 1 for clip in votes),
        pairs=tuple(_pair(*names, pairs[names]) for names in sorted(pairs)),
        annotators=tuple(_annotator(name, labels[name], pairs) for name in sorted(labels)),
    )


def nominal_alpha(counts: Iterable[Mapping[str, int]]) -> float | None:
    """Krippendorff's alpha of units, each the number of times it got each label.

    None where it is undefined: fewer than two labels in all units with two or more votes.
    """
    paired = [unit for unit in counts if sum(unit.values()) > 1]
    domain = sorted({label for unit in paired for label in unit})
    if len(domain) < 2:
        return None
    # Imported here because it takes its time and most commands do without.
    import krippendorff

    table = np.array([[unit.get(label, 0) for label in domain] for unit in paired])
    return float(krippendorff.alpha(value_counts=table, level_of_measurement="nominal"))


def _pair(first: str, second: str, counts: Counter[tuple[str, str]]) -> Pair:
    units = [Counter(labels) for labels, times in counts.items() for _ in range(times)]
    same = sum(times for (one, other), times in counts.items() if one == other)
    return Pair(first, second, len(units), same, nominal_alpha(units))


def _annotator(
    name: str,
    labels: Counter[str],
    pairs: Mapping[tuple[str, str], Counter[tuple[str, str]]],
) -> AnnotatorFigures:
    own = [counts for names, counts in pairs.items() if name in names]
    same = sum(n for counts in own for (one, other), n in counts.items() if one == other)
    compared = sum(counts.total() for counts in own)
    return AnnotatorFigures(name, labels.total(), dict(labels.most_common()), same, compared)
