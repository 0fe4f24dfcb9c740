"""What customers said that no script fits, grouped by likeness: what an owner would write next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from persona_ray.asr.text import normalise

# Cosine of characters and pairs of them from which two sentences are alike.
_ALIKE = 0.4
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Gap:
    """Sentences that are alike: how many, and the first few that differ."""

    count: int
    examples: tuple[str, ...]


def group(sentences: Sequence[str], alike: float = _ALIKE) -> list[Gap]:
    """The largest group first. Each sentence joins the first group whose first sentence it is like
    (leader clustering, Hartigan 1975), the most frequent sentences first; TF-IDF of characters."""
    counts: dict[str, int] = {}
    said: dict[str, str] = {}
    for sentence in sentences:
        plain = normalise(sentence)
        if plain:
            counts[plain] = counts.get(plain, 0) + 1
            said.setdefault(plain, sentence)
    order = sorted(counts, key=lambda plain: (-counts[plain], plain))
    if not order:
        return []
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char", ngram_range=(1, 2)).fit_transform(order)
    leaders: list[int] = []
    members: list[list[str]] = []
    for place, plain in enumerate(order):
        if leaders:
            likeness = (vectors[leaders] @ vectors[place].T).toarray().ravel()
            nearest = int(np.argmax(likeness))
            if likeness[nearest] >= alike:
                members[nearest].append(plain)
                continue
        leaders.append(place)
        members.append([plain])
    gaps = [
        Gap(sum(counts[plain] for plain in found), tuple(said[p] for p in found[:_EXAMPLES]))
        for found in members
    ]
    return sorted(gaps, key=lambda gap: -gap.count)
