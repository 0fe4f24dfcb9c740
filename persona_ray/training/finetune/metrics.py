"""How well clips and customers of the dev split are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from persona_ray.objectives.temperature import fit_temperature
from persona_ray.types import Example

# Stands for a probability of 0.
_LEAST = 1e-300


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares from 0 to 1; `loss` is the mean cross entropy of a clip in nats.

    A customer's probabilities are the sum of those of the clips; the customer's label is the one
    that most of the clips have (of equals the first in the order of labels). `temperature`: fitted
    on the clips, 1 where they set none; the other figures are without it.
    """

    loss: float
    clip_accuracy: float
    clip_macro_f1: float
    customer_accuracy: float
    customer_macro_f1: float
    temperature: float = 1.0


def score(
    examples: Sequence[Example], probabilities: NDArray[np.float64], labels: Sequence[str]
) -> Scores:
    """`probabilities` (clips, labels), row by row for `examples` (at least one)."""
    index = {label: at for at, label in enumerate(labels)}
    truth = np.array([index[example.label] for example in examples])
    of_truth = probabilities[np.arange(len(truth)), truth]
    customers, owner = np.unique([example.customer_id for example in examples], return_inverse=True)
    summed = np.zeros((len(customers), len(labels)))
    votes = np.zeros_like(summed)
    np.add.at(summed, owner, probabilities)
    np.add.at(votes, (owner, truth), 1.0)
    clip_guess = probabilities.argmax(axis=1)
    guess, known = summed.argmax(axis=1), votes.argmax(axis=1)
    return Scores(
        loss=float(-np.log(np.maximum(of_truth, 1e-12)).mean()),
        clip_accuracy=float((clip_guess == truth).mean()),
        clip_macro_f1=macro_f1(truth, clip_guess),
        customer_accuracy=float((guess == known).mean()),
        customer_macro_f1=macro_f1(known, guess),
        temperature=fit_temperature(np.log(np.maximum(probabilities, _LEAST)), truth).value,
    )


def macro_f1(truth: NDArray[np.int64], guess: NDArray[np.int64]) -> float:
    """Mean F1 over the labels that occur in the truth or among the guesses."""
    values = []
    for label in np.union1d(truth, guess):
        hits = int(((truth == label) & (guess == label)).sum())
        values.append(2 * hits / (int((truth == label).sum()) + int((guess == label).sum())))
    return float(np.mean(values))
