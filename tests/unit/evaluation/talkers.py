"""Made-up customers whose sentences lean to their label, more or less alike."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

from persona_ray.evaluation.evidence import Speaker
from persona_ray.evaluation.scores import Prediction

LABELS = ("red", "blue", "yellow", "green")


def talkers(seed: int, customers: int, longest: int = 12, alike: float = 0.0) -> list[Speaker]:
    """`alike` from 0 (sentences independent of each other, and honest one by one) to 1 (every
    sentence of a customer says the same)."""
    random = np.random.default_rng(seed)
    found = []
    for c in range(customers):
        target = int(random.integers(4))
        # The log-likelihood ratios of normal observations with unit variance around `strength`.
        strength = 0.7
        count = int(random.integers(1, longest + 1))
        own, shared = random.standard_normal((count, 4)), random.standard_normal((1, 4))
        seen = np.sqrt(1 - alike) * own + np.sqrt(alike) * shared
        seen[:, target] += strength
        found.append(Speaker(f"c{c:03d}", target, log_softmax(strength * seen, axis=1)))
    return found


def said_by(speakers: list[Speaker]) -> list[Prediction]:
    """The same as predictions, the sentences of customers mixed as in a corpus sorted by call."""
    rows = [
        (k, Prediction(f"{s.customer_id}-{k}", s.customer_id, LABELS[s.target], named))
        for s in speakers
        for k, named in enumerate(
            dict(zip(LABELS, row, strict=True)) for row in np.exp(s.log_rows).tolist()
        )
    ]
    return [row for _, row in sorted(rows, key=lambda pair: pair[0])]
