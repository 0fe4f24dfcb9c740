"""How much must be heard of a customer: accuracy and confidence, sentence by sentence.

Sentences come in the order in which they were said (calls in the order of their ids). After each,
what is known so far is combined in one of three ways:

    sum        the probabilities are added up, as `persona-ray recognize` does
    product    their logarithms are: right if sentences were independent of each other, which those
               of one speaker are not, so that it soon is too sure
    tempered   as product, but the sum of logarithms is divided by a temperature that was fitted on
               other customers; names the same colours as product, less surely
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from persona_ray.evaluation.bootstrap import Estimate, draws, mean
from persona_ray.evaluation.calibration import Reliability, log_probabilities, reliability
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.scores import Prediction, by_customer
from persona_ray.objectives.temperature import Temperature, fit_temperature, tempered

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

# Fewer customers than this say too little about how alike their sentences are.
LEAST_CUSTOMERS = 5
# The curve has each of the first sentences, then ever wider steps.
_EACH, _STEP = 20, 1.15


class Rule(StrEnum):
    """How sentences are combined."""

    SUM = "sum"
    PRODUCT = "product"
    TEMPERED = "tempered"


@dataclass(frozen=True, slots=True)
class Speaker:
    """A customer's sentences in order: `log_rows` (sentences, labels), `target` the customer's
    label as an index."""

    customer_id: str
    target: int
    log_rows: Floats


class EvidencePoint(Part):
    """After `sentences` sentences, of all customers: who said fewer is judged by all of them.
    `customers` said at least so many."""

    sentences: int
    customers: int
    accuracy: Estimate
    confidence: float


class EvidenceCurve(Part):
    """One rule. `whole` is about whole customers, all sentences heard."""

    rule: Rule
    points: tuple[EvidencePoint, ...]
    whole: Reliability


class Evidence(Part):
    """`temperatures` are those of the tempered rule: one, or one for each fold of customers.
    `note` says why a temperature was not fitted."""

    basis: str
    customers: int
    sentences: int
    temperatures: tuple[float, ...]
    note: str = ""
    curves: tuple[EvidenceCurve, ...]


def speakers_of(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    customer_labels: Mapping[str, str] | None = None,
) -> list[Speaker]:
    """By customer id; the sentences of each in the order of `predictions`. `customer_labels` as for
    `scores.by_customer`."""
    rows = log_probabilities(predictions, labels)
    places: dict[str, list[int]] = defaultdict(list)
    for at, prediction in enumerate(predictions):
        places[prediction.customer_id].append(at)
    return [
        Speaker(whole.customer_id, labels.index(whole.label), rows[places[whole.customer_id]])
        for whole in by_customer(predictions, labels, customer_labels)
    ]


def judged(speaker: Speaker, rule: Rule, temperature: float = 1.0) -> Floats:
    """Log-probabilities (sentences, labels) after the first sentence, the first two, and so on."""
    import numpy as np

    if rule is Rule.SUM:
        sums = np.cumsum(np.exp(speaker.log_rows), axis=0)
        found: Floats = np.log(np.maximum(sums / sums.sum(axis=1, keepdims=True), 1e-300))
        return found
    sums = np.cumsum(speaker.log_rows, axis=0)
    return tempered(sums, temperature if rule is Rule.TEMPERED else 1.0)


def fit_speakers(speakers: Sequence[Speaker]) -> Temperature:
    """The temperature of the tempered rule, from every beginning of every customer; each customer
    counts the same, however much the customer says."""
    import numpy as np

    customers = [speaker for speaker in speakers if len(speaker.log_rows)]
    if len(customers) < LEAST_CUSTOMERS:
        reason = f"{len(customers)} customers, at least {LEAST_CUSTOMERS} are needed"
        return Temperature(1.0, len(customers), 0.0, 0.0, reason)
    lengths = np.array([len(speaker.log_rows) for speaker in customers])
    return fit_temperature(
        np.concatenate([judged(speaker, Rule.PRODUCT) for speaker in customers]),
        np.repeat([speaker.target for speaker in customers], lengths),
        np.repeat(1 / lengths, lengths),
        least=1,
        what="customers",
    )


def cross_fitted_speakers(
    speakers: Sequence[Speaker], fold_of: Mapping[str, int]
) -> tuple[dict[str, float], list[Temperature]]:
    """The temperature for each customer, fitted on the other folds' customers."""
    fitted = {
        fold: fit_speakers([s for s in speakers if fold_of[s.customer_id] != fold])
        for fold in sorted({fold_of[s.customer_id] for s in speakers})
    }
    each = {s.customer_id: fitted[fold_of[s.customer_id]].value for s in speakers}
    return each, list(fitted.values())


def measure_evidence(
    basis: str,
    speakers: Sequence[Speaker],
    temperature: Mapping[str, float],
    fitted: Sequence[Temperature],
    note: str = "",
    resamples: int = 1000,
    seed: int = 0,
) -> Evidence:
    """`temperature` of the tempered rule by customer, chosen among `fitted`; `note` says why it was
    not fitted. Raises ValueError without customers."""
    import numpy as np

    if not speakers:
        raise ValueError("no customers to measure evidence on")
    lengths = np.array([len(speaker.log_rows) for speaker in speakers])
    targets = np.array([speaker.target for speaker in speakers])
    drawn = draws(len(speakers), resamples, seed)
    curves = []
    for rule in Rule:
        tracks = [judged(s, rule, temperature[s.customer_id]) for s in speakers]
        points = []
        for sentences in steps(int(lengths.max())):
            rows = np.stack([track[min(sentences, len(track)) - 1] for track in tracks])
            points.append(
                EvidencePoint(
                    sentences=sentences,
                    customers=int((lengths >= sentences).sum()),
                    accuracy=mean((rows.argmax(axis=1) == targets).astype(float), drawn),
                    confidence=float(np.exp(rows.max(axis=1)).mean()),
                )
            )
        whole = np.stack([track[-1] for track in tracks])
        curves.append(
            EvidenceCurve(
                rule=rule,
                points=tuple(points),
                whole=reliability(whole, targets, np.arange(len(targets)), drawn),
            )
        )
    return Evidence(
        basis=basis,
        customers=len(speakers),
        sentences=int(lengths.sum()),
        temperatures=tuple(found.value for found in fitted),
        note=note,
        curves=tuple(curves),
    )


def steps(longest: int) -> list[int]:
    """1, 2, ... and `longest`, ever sparser."""
    found = list(range(1, min(longest, _EACH) + 1))
    while found[-1] < longest:
        found.append(min(longest, int(found[-1] * _STEP)))
    return found
