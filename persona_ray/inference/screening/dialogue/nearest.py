"""The exchange that a caller's turn is nearest to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.inference.screening.dialogue.dialogue_set import DialogueSet, Exchange
    from persona_ray.inference.screening.dialogue.sentences import SentenceVectors

_ENDS = re.compile(r"[。！？!?；;，,、\s]+")
# Of a turn with more clauses, the last: callers come to the point.
_MOST_CLAUSES = 8
_FEWEST_CHARACTERS = 2
# The second nearest wording of an exchange counts half: one wording may be near by chance.
_SECOND = 0.5
# What a clause is worth beside the whole turn.
_CLAUSE = 0.95


@dataclass(frozen=True, slots=True)
class Near:
    """An exchange and how near it is, 0 to 1; `steered` is that with what the call seems to be
    about."""

    exchange: Exchange
    nearness: float
    steered: float


class Nearest:
    """Finds exchanges. Nearness: the cosine of the nearest wording and half that of the second,
    over 1.5."""

    def __init__(self, dialogue: DialogueSet, vectors: SentenceVectors) -> None:
        self._exchanges = dialogue.exchanges
        self._vectors = vectors
        wordings = [text for exchange in dialogue.exchanges for text in exchange.says]
        self._wordings = vectors.vectors(wordings)
        counts = [len(exchange.says) for exchange in dialogue.exchanges]
        self._starts = np.cumsum([0, *counts])
        self._asides = np.array([exchange.aside for exchange in dialogue.exchanges])

    def of(self, text: str, probabilities: Mapping[str, float], steering: float) -> list[Near]:
        """All exchanges, the best first. One about category c gets `steering` times the probability
        of c on top of its nearness."""
        nearness = self._nearness(text)
        extra = np.array([probabilities.get(e.category, 0.0) for e in self._exchanges])
        steered = nearness + steering * extra
        return [
            Near(self._exchanges[place], float(nearness[place]), float(steered[place]))
            for place in np.argsort(-steered, kind="stable")
        ]

    def _nearness(self, text: str) -> NDArray[np.float32]:
        """(exchanges,) of a turn: of what is left of it without asides, and of its clauses."""
        clauses = _clauses(text)
        if not clauses:
            return self._one(text)
        parts = self._each(clauses)
        to_the_point = ~self._asides[parts.argmax(axis=1)]
        if not to_the_point.any():
            return self._one(text)
        left = "，".join(c for c, keep in zip(clauses, to_the_point, strict=True) if keep)
        whole = self._one(left)
        return np.asarray(np.maximum(whole, _CLAUSE * parts[to_the_point].max(axis=0)), np.float32)

    def _one(self, sentence: str) -> NDArray[np.float32]:
        return np.asarray(self._each([sentence])[0], np.float32)

    def _each(self, sentences: list[str]) -> NDArray[np.float32]:
        """(sentences, exchanges)"""
        cosines = self._vectors.vectors(sentences) @ self._wordings.T
        return np.stack([self._of_exchanges(row) for row in cosines])

    def _of_exchanges(self, cosines: NDArray[np.float32]) -> NDArray[np.float32]:
        """(exchanges,) from the cosines (wordings,) of one sentence."""
        found = np.zeros(len(self._exchanges), np.float32)
        for place, (start, end) in enumerate(zip(self._starts[:-1], self._starts[1:], strict=True)):
            own = np.sort(cosines[start:end])[::-1]
            second = own[1] if own.size > 1 else own[0]
            found[place] = (own[0] + _SECOND * second) / (1 + _SECOND)
        return found


def _clauses(text: str) -> list[str]:
    """The parts of a turn that can stand alone; none where it is one."""
    parts = [part for part in _ENDS.split(text) if len(part) >= _FEWEST_CHARACTERS]
    return parts[-_MOST_CLAUSES:] if len(parts) > 1 else []
