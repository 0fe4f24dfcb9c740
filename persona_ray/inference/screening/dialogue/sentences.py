"""Sentence vectors: what the nearness of two sentences is measured by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from persona_ray.asr.text import normalise
from persona_ray.errors import ConfigError
from persona_ray.models import universal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

# Columns that n-grams are hashed to. The shipped set has 3,000 n-grams.
_COLUMNS = 1 << 14


class SentenceVectors(Protocol):
    """Turns sentences into vectors."""

    @property
    def name(self) -> str:
        """For verdicts: which vectors, and of which version."""
        ...

    @property
    def threshold(self) -> float:
        """Nearness (see `nearest.Nearest`) below which a sentence means nothing of the set."""
        ...

    def vectors(self, sentences: Sequence[str]) -> Vectors:
        """(sentences, width): the product of two rows is the nearness of their sentences, up to 1.
        A row of zeros where there is nothing in one."""
        ...


class NgramVectors:
    """Characters and pairs of them, weighted by how rare they are in the set (TF-IDF, Spärck Jones
    1972). Instant, and sees nothing but the same characters.

    Hashed, so that n-grams that the set has not count, too: a sentence about something else would
    be left with what it has in common with the set, and look near.
    """

    name = "ngrams-1"
    threshold = 0.24

    def __init__(self, sentences: Sequence[str]) -> None:
        """`sentences` of the set, by which rarity is measured."""
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        self._counts: Any = HashingVectorizer(
            analyzer="char",
            ngram_range=(1, 2),
            n_features=_COLUMNS,
            alternate_sign=False,
            norm=None,
            preprocessor=normalise,
        )
        self._weights: Any = TfidfTransformer(sublinear_tf=True)
        counted = self._counts.transform(sentences)
        self._weights.fit(counted)
        # The other columns meet zeros in every product with a sentence of the set.
        self._columns = np.unique(counted.nonzero()[1])

    def vectors(self, sentences: Sequence[str]) -> Vectors:
        weighted = self._weights.transform(self._counts.transform(sentences))
        return np.asarray(weighted[:, self._columns].toarray(), dtype=np.float32)


class UniversalVectors:
    """By meaning: see `models.universal`."""

    name = universal.NAME
    threshold = 0.44

    def __init__(self, sentences: Sequence[str]) -> None:
        """Loads the weights, half a minute at most. `sentences` change nothing."""
        universal.universal_vectors(sentences[:1])

    def vectors(self, sentences: Sequence[str]) -> Vectors:
        return universal.universal_vectors(sentences)


class BothVectors:
    """Both side by side: their nearness is the mean of the two. Meaning finds other words for the
    same thing, n-grams tell one thing from another that is spoken of alike."""

    name = f"{UniversalVectors.name}+{NgramVectors.name}"
    threshold = 0.31

    def __init__(self, sentences: Sequence[str]) -> None:
        self._parts = (UniversalVectors(sentences), NgramVectors(sentences))

    def vectors(self, sentences: Sequence[str]) -> Vectors:
        # A product of concatenations is the sum of the products.
        scale = len(self._parts) ** -0.5
        return np.hstack([scale * part.vectors(sentences) for part in self._parts])


_ENGINES: dict[str, Callable[[Sequence[str]], SentenceVectors]] = {
    "both": BothVectors,
    "meaning": UniversalVectors,
    "ngrams": NgramVectors,
}


def build_vectors(engine: str, sentences: Sequence[str]) -> SentenceVectors:
    """The engine of screening.dialogue.sentences, for a set of `sentences`. Raises ConfigError
    where there is none of this name."""
    if engine in _ENGINES:
        return _ENGINES[engine](sentences)
    module, colon, name = engine.partition(":")
    try:
        if not colon:
            raise ModuleNotFoundError(f"no engine '{engine}'")
        made: SentenceVectors = getattr(import_module(module), name)(sentences)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"screening.dialogue.sentences = {engine}: {error}: must be "
            f"{', '.join(sorted(_ENGINES))}, or package.module:Name of a SentenceVectors"
        ) from None
    return made
