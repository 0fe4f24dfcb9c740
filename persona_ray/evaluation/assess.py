"""Calibration, evidence and stopping of one set of answers, each fitted number from elsewhere.

A bundle is judged on the test split: its own temperature was fitted on the dev split when it was
trained, that of the tempered rule is fitted there too. Answers of rotated folds are of as many
models; each fold's temperatures are fitted on the customers of the other folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from persona_ray.evaluation.calibration import (
    Calibration,
    cross_fitted,
    measure_calibration,
    with_temperature,
)
from persona_ray.evaluation.evidence import (
    Evidence,
    Speaker,
    cross_fitted_speakers,
    fit_speakers,
    measure_evidence,
    speakers_of,
)
from persona_ray.evaluation.scores import Prediction
from persona_ray.evaluation.stopping import Stopping, measure_stopping
from persona_ray.objectives.temperature import Temperature

BUNDLE = "this bundle on its test customers"
FOLDS = "models trained alike, every customer held out once"


@dataclass(frozen=True, slots=True)
class Assessment:
    """`calibration` is of single clips, the others are of whole customers."""

    calibration: Calibration
    evidence: Evidence
    stopping: Stopping


def assess_bundle(
    test: Sequence[Prediction],
    dev: Sequence[Prediction],
    labels: Sequence[str],
    customer_labels: Mapping[str, str],
    temperature: float,
    note: str,
    resamples: int,
) -> Assessment:
    """`test` and `dev` are the bundle's answers, `temperature` (and `note`, where it was not
    fitted) is what its contract says. Clips without a label count as evidence alone. Raises
    ValueError where no clip of `test` has a label."""
    before = with_temperature(test, labels, 1 / temperature)
    calibration = measure_calibration(BUNDLE, before, test, labels, [temperature], note, resamples)
    fitted = fit_speakers(speakers_of(dev, labels, customer_labels))
    speakers = speakers_of(test, labels, customer_labels)
    each = {speaker.customer_id: fitted.value for speaker in speakers}
    return _assessment(calibration, speakers, each, [fitted], resamples)


def assess_folds(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    fold_of: Mapping[str, int],
    resamples: int,
) -> Assessment:
    """`predictions` as the models gave them, without temperature; `fold_of` is by customer. Raises
    ValueError where no clip has a label."""
    after, temperatures = cross_fitted(predictions, labels, fold_of)
    values = [found.value for found in temperatures]
    note = _reasons(temperatures)
    calibration = measure_calibration(FOLDS, predictions, after, labels, values, note, resamples)
    speakers = speakers_of(after, labels)
    each, fitted = cross_fitted_speakers(speakers, fold_of)
    return _assessment(calibration, speakers, each, fitted, resamples)


def _assessment(
    calibration: Calibration,
    speakers: Sequence[Speaker],
    each: Mapping[str, float],
    fitted: Sequence[Temperature],
    resamples: int,
) -> Assessment:
    basis = calibration.basis
    return Assessment(
        calibration,
        measure_evidence(basis, speakers, each, fitted, _reasons(fitted), resamples),
        measure_stopping(basis, speakers, each, resamples),
    )


def _reasons(fitted: Sequence[Temperature]) -> str:
    return "; ".join(dict.fromkeys(found.reason for found in fitted if found.reason))
