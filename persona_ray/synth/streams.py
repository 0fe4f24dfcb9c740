"""Random numbers, a stream for each part of an archive: the others stay as they are when one
draws more or fewer."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from persona_ray.synth.config import SynthConfig


class Part(IntEnum):
    """What draws for itself. Another number is another archive from the same seed."""

    CUSTOMER = 1
    CALLS = 2
    DIRT = 3
    SOUND = 4
    ANNOTATORS = 5
    ADJUDICATOR = 6


def stream(config: SynthConfig, part: Part, number: int | None = None) -> np.random.Generator:
    """The stream of `part`, or of one customer or call (`number`) within it."""
    key = [config.seed, part] if number is None else [config.seed, part, number]
    return np.random.default_rng(np.random.SeedSequence(key))
