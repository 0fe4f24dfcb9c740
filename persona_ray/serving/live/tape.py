"""The part of a call's sound that may still be needed."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from persona_ray.types import Samples


class Tape:
    """Sound from sample `begin` of a call on, written at its end and forgotten from its start."""

    def __init__(self, begin: int = 0) -> None:
        self.begin = self.end = begin
        self._pieces: deque[Samples] = deque()

    def append(self, samples: Samples) -> None:
        if len(samples):
            self._pieces.append(samples)
            self.end += len(samples)

    def forget(self, before: int) -> None:
        """Pieces that lie wholly before sample `before` are gone."""
        while self._pieces and self.begin + len(self._pieces[0]) <= before:
            self.begin += len(self._pieces.popleft())

    def cut(self, start: int, end: int) -> Samples:
        """Samples from `start` to `end`, or as much of them as there is."""
        wanted = []
        position = self.begin
        for piece in self._pieces:
            if position + len(piece) > start and position < end:
                wanted.append(piece[max(0, start - position) : end - position])
            position += len(piece)
        return np.concatenate(wanted) if wanted else np.zeros(0, dtype=np.float32)
