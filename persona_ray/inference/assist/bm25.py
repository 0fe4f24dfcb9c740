"""Which scripts were written for a sentence like this: by common characters alone.

BM25 (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework") over characters and
pairs of them, as Chinese has no spaces between words. It needs no training: what the trained
ranker is measured against, and what answers until there is one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from persona_ray.asr.text import normalise

if TYPE_CHECKING:
    from persona_ray.conversation import Script

# Usual values of saturation and of the correction for length.
_K1, _B = 1.2, 0.75


class Bm25:
    """Over the `answers` and the text of each script."""

    def __init__(self, scripts: Sequence[Script]) -> None:
        counts = [Counter(_terms((*script.answers, script.text))) for script in scripts]
        found = Counter(term for count in counts for term in count)
        self._rarity = {
            term: math.log(1 + (len(counts) - number + 0.5) / (number + 0.5))
            for term, number in found.items()
        }
        # Of what no script has: such a sentence is about something else.
        self._unseen = math.log(1 + (len(counts) + 0.5) / 0.5)
        lengths = [count.total() for count in counts]
        usual = sum(lengths) / len(lengths) if lengths else 1.0
        self._weights = [
            {
                term: number * (_K1 + 1) / (number + _K1 * (1 - _B + _B * length / usual))
                for term, number in count.items()
            }
            for count, length in zip(counts, lengths, strict=True)
        ]

    def shares(self, text: str) -> list[float]:
        """Of each script: its BM25 beside the most that a script could have, 0 to 1."""
        terms = set(_terms((text,)))
        rarity = {term: self._rarity.get(term, self._unseen) for term in terms}
        most = (_K1 + 1) * sum(rarity.values())
        if not most:
            return [0.0] * len(self._weights)
        return [
            sum(value * weights.get(term, 0.0) for term, value in rarity.items()) / most
            for weights in self._weights
        ]


def _terms(texts: Sequence[str]) -> Iterator[str]:
    for text in map(normalise, texts):
        yield from text
        yield from (text[at : at + 2] for at in range(len(text) - 1))
