"""What the report says of its own figures."""

from __future__ import annotations

import re

import pytest

from persona_ray.evaluation.bootstrap import Estimate
from persona_ray.evaluation.report import ReportData
from persona_ray.evaluation.report.data import Epoch, TrainingRun
from persona_ray.evaluation.report.findings import (
    calibration_finding,
    evidence_finding,
    layers_finding,
    slices_finding,
    stopping_finding,
    temperatures,
)
from persona_ray.evaluation.report.render import render
from persona_ray.evaluation.report.words import interval, signed, span
from persona_ray.evaluation.slices import Dimension, Slice, Slices
from tests.unit.evaluation.made_up import full_report


@pytest.fixture(scope="module")
def report() -> ReportData:
    return full_report()


def test_findings_speak_of_the_answers_with_the_most_customers(report: ReportData) -> None:
    _, folds = report.evidence
    first, last = folds.curves[0].points[0].accuracy, folds.curves[0].points[-1].accuracy
    text = evidence_finding(report.evidence)
    assert f"After one sentence {100 * first.value:.0f} %" in text
    assert f"after all {100 * last.value:.0f} %" in text
    point = next(p for p in report.stopping[1].curves[2].points if p.threshold == 0.8)
    assert f"answers {100 * point.answered.value:.0f} %" in stopping_finding(report.stopping)
    after = report.calibration[1].after.ece.value
    assert f"to {100 * after:.1f} %" in calibration_finding(report.calibration)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        ((0.01, 0.1), "falls beyond noise"),
        ((-0.01, 0.1), "cannot be told"),
        ((-0.1, -0.01), "does not fit"),
        (None, "cannot be told"),
    ],
)
def test_a_gain_is_claimed_only_beyond_noise(
    report: ReportData, bounds: tuple[float, float] | None, words: str
) -> None:
    gain = Estimate(value=0.02, interval=bounds)
    part = report.calibration[1].model_copy(update={"gain": gain})
    assert words in calibration_finding([part])


def test_a_temperature_that_was_not_fitted_says_why(report: ReportData) -> None:
    note = "12 clips, at least 50 are needed"
    part = report.calibration[0].model_copy(update={"temperatures": (1.0,), "note": note})
    assert f"No temperature was fitted: {note}" in calibration_finding([part])
    assert temperatures((1.0,), note) == f"Temperature 1.00 (not fitted: {note})."
    assert temperatures((1.25, 1.5, 1.4), "") == "Temperatures 1.25 to 1.50, one for each fold."
    # One curve then, not two that are the same.
    drawn = render(report.model_copy(update={"calibration": (part,)}))
    assert "before: ECE" in drawn
    assert "after: ECE" not in drawn


def test_only_slices_that_stand_out_are_named() -> None:
    def part(name: str, low: float, high: float) -> Slice:
        even = Estimate(value=(low + high) / 2, interval=(low, high))
        return Slice(name=name, clips=40, customers=9, accuracy=even, difference=even)

    def slices(*parts: Slice) -> Slices:
        dimension = Dimension(name="scene", slices=parts)
        return Slices(basis="all", clips=80, customers=9, dimensions=(dimension,))

    found = slices_finding(slices(part("fund", -0.3, -0.1), part("loan", -0.1, 0.2)))
    assert "Of 2 slices 1 differs" in found
    assert "scene: fund, −20 (−30 to −10)" in found
    assert "loan" not in found
    assert "None of 1 slices" in slices_finding(slices(part("loan", -0.1, 0.2)))
    assert "No slice is large enough" in slices_finding(slices())


def test_layers_that_are_even_and_layers_that_speak() -> None:
    run = TrainingRun(epochs=(Epoch(epoch=1, frozen=True, loss=1.0),), layer_weights=(0.25,) * 4)
    assert layers_finding(run) == "The weights are spread as over 4.0 of 4 blocks."
    loud = run.model_copy(update={"layer_parts": (0.1, -0.1, 0.8, 0.2)})
    assert "Block 3 speaks most: 80 %" in layers_finding(loud)
    alone = run.model_copy(update={"layer_weights": (1.0, 0.0, 0.0, 0.0)})
    assert "over 1.0 of 4" in layers_finding(alone)


def test_names_of_slices_are_escaped(report: ReportData) -> None:
    assert "<b>complaint</b>" not in render(report)
    assert "&lt;b&gt;complaint&lt;/b&gt;" in render(report)


def test_an_interval_of_resamples_that_all_agree_is_not_shown() -> None:
    assert interval(Estimate(value=1.0, interval=(1.0, 1.0))) == ""
    assert interval(Estimate(value=0.5, interval=(0.25, 0.75))) == "25–75 %"
    assert signed(Estimate(value=-0.1)) == "−10"
    assert signed(Estimate(value=-0.001, interval=(-0.1, 0.1))) == "0 (−10 to +10)"
    assert signed(None) == "–"
    assert span(Estimate(value=1.5, interval=(1.25, 2.0))) == "1.50 (1.25–2.00)"


def test_the_table_of_thresholds_has_those_that_are_shown(report: ReportData) -> None:
    html = render(report)
    section = html[html.index('<section id="stopping"') : html.index('<section id="calibration"')]
    shown = re.findall(r'<tr><td class="n">(\d+) %</td>', section)
    assert shown == ["50", "60", "70", "80", "90", "95", "99"] * 6
