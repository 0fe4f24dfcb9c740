"""What is fitted where: nothing is judged by what it was fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from persona_ray.evaluation.assess import BUNDLE, FOLDS, assess_bundle, assess_folds
from persona_ray.evaluation.calibration import temperature_of, with_temperature
from persona_ray.evaluation.evidence import fit_speakers, speakers_of
from persona_ray.evaluation.scores import Prediction
from tests.unit.evaluation.talkers import LABELS, said_by, talkers


def boasting(seed: int, customers: int) -> list[Prediction]:
    """Of customers that no other seed has."""
    rows = with_temperature(said_by(talkers(seed, customers, alike=0.6)), LABELS, 0.4)
    return [replace(row, customer_id=f"{seed}-{row.customer_id}") for row in rows]


def test_a_bundle_is_judged_with_its_own_temperature_and_that_of_dev_customers() -> None:
    dev, test = boasting(1, 60), boasting(2, 80)
    temperature = temperature_of(dev, LABELS).value
    dev, cooled = (with_temperature(rows, LABELS, temperature) for rows in (dev, test))
    labels = {row.customer_id: row.label for row in (*dev, *test)}
    found = assess_bundle(cooled, dev, LABELS, labels, temperature, "", 50)
    assert found.calibration.basis == found.evidence.basis == found.stopping.basis == BUNDLE
    assert found.calibration.temperatures == (temperature,)
    # Undone, it is what the model said before.
    before = temperature_of(with_temperature(cooled, LABELS, 1 / temperature), LABELS)
    assert found.calibration.before.cross_entropy.value == pytest.approx(before.before)
    assert found.calibration.gain.value > 0
    assert found.evidence.temperatures == (fit_speakers(speakers_of(dev, LABELS)).value,)
    assert found.evidence.customers == 80


def test_sentences_without_a_label_are_evidence_but_not_judged_alone() -> None:
    test = boasting(3, 30)
    labels = {row.customer_id: row.label for row in test}
    some = [replace(row, label="") if at % 2 else row for at, row in enumerate(test)]
    found = assess_bundle(some, [], LABELS, labels, 1.0, "9 clips, 50 are needed", 0)
    assert found.calibration.count == sum(bool(row.label) for row in some)
    assert found.evidence.sentences == len(test)
    assert found.calibration.note == "9 clips, 50 are needed"
    assert found.evidence.note == "0 customers, at least 5 are needed"
    with pytest.raises(ValueError, match="no labelled clip"):
        assess_bundle([replace(row, label="") for row in test], [], LABELS, labels, 1.0, "", 0)


def test_folds_are_judged_by_temperatures_of_the_others() -> None:
    rows = boasting(4, 100)
    fold_of = {name: at % 4 for at, name in enumerate(sorted({r.customer_id for r in rows}))}
    found = assess_folds(rows, LABELS, fold_of, 50)
    assert found.calibration.basis == FOLDS
    assert len(found.calibration.temperatures) == len(found.evidence.temperatures) == 4
    for fold, temperature in enumerate(found.calibration.temperatures):
        others = [row for row in rows if fold_of[row.customer_id] != fold]
        assert temperature == temperature_of(others, LABELS).value
    assert found.calibration.gain.interval is not None
    assert found.calibration.gain.interval[0] > 0
    product, tempered = found.evidence.curves[1:]
    assert tempered.whole.ece.value < product.whole.ece.value
    assert np.mean(found.evidence.temperatures) > 1.5
