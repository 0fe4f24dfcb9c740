"""The report as a file: whole, partial, the same again, and of no other make."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

from persona_ray.evaluation.report import ReportData, write_report
from persona_ray.evaluation.report.data import Epoch, RecognisedCall, TrainingRun
from persona_ray.evaluation.report.render import palette, render
from persona_ray.evaluation.report.words import clock, duration, number
from tests.unit.evaluation.made_up import LABELS, calls, full_report

OPTIONAL = (
    "held_out",
    "calls",
    "comparison",
    "split_gap",
    "calibration",
    "evidence",
    "stopping",
    "slices",
    "pretraining",
    "training",
    "corpus",
    "annotation",
    "leakage",
    "stages",
    "settings",
    "versions",
)


@pytest.fixture(scope="module")
def report() -> ReportData:
    return full_report()


@pytest.fixture(scope="module")
def html(report: ReportData) -> str:
    return render(report)


def parts(report: ReportData, *names: str) -> ReportData:
    """The report with these optional parts only."""
    return ReportData(
        made_at=report.made_at,
        version=report.version,
        labels=report.labels,
        **{name: getattr(report, name) for name in names},
    )


def test_the_json_beside_it_is_the_same_report(report: ReportData, tmp_path: Path) -> None:
    path = write_report(report, tmp_path / "deep" / "report.html")
    assert ReportData.model_validate_json(path.with_suffix(".json").read_bytes()) == report
    assert sorted(file.name for file in path.parent.iterdir()) == ["report.html", "report.json"]


def test_a_report_drawn_again_is_the_same_file(report: ReportData, html: str) -> None:
    assert render(report) == html


def test_nothing_in_it_comes_from_elsewhere(html: str) -> None:
    links = re.findall(r"(?:src|href|action|data|poster)\s*=\s*[\"']([^\"']*)", html)
    assert links
    assert [link for link in links if not link.startswith(("#", "data:"))] == []
    assert not re.search(
        r"@import|@font-face|<script|<link(?! rel=\"icon\")|url\((?![\"']?#)", html
    )


def test_ids_are_unique_and_every_reference_meets_one(html: str) -> None:
    ids = Counter(re.findall(r"\bid=\"([^\"]+)\"", html))
    assert [name for name, count in ids.items() if count > 1] == []
    asked = set(re.findall(r"(?:href=\"#|url\(#)([^\")]+)", html))
    assert asked <= set(ids)


def test_plots_take_every_colour_from_the_page(html: str) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL))
    assert drawn.count("<svg") == 7 + 2 * 3
    assert "var(--plot-1)" in drawn
    assert set(re.findall(r"#[0-9a-f]{6}", drawn)) == set()


@pytest.mark.parametrize("name", OPTIONAL)
def test_each_part_stands_alone(report: ReportData, name: str) -> None:
    text = render(parts(report, name))
    assert text.count("<section") == 1
    assert text.count('<a href="#') == 1


@pytest.mark.parametrize("name", OPTIONAL)
def test_each_part_needs_no_other(report: ReportData, name: str) -> None:
    empty = render(parts(report)).count("<section")
    assert render(parts(report, name)).count("<section") == empty + 1


def test_units_are_named_beside_their_run(html: str) -> None:
    assert "speech, iteration 1: 100 units of MFCC: 98% used, perplexity 87.6." in html
    assert "speech, iteration 2: " not in html


def test_no_part_at_all_is_still_a_page(report: ReportData) -> None:
    assert report.title in render(parts(report))


def test_training_without_dev_or_thaw_is_drawn(report: ReportData) -> None:
    for frozen in (True, False):
        epochs = (Epoch(epoch=1, frozen=frozen, loss=1.2), Epoch(epoch=2, frozen=frozen, loss=1.1))
        text = render(parts(report).model_copy(update={"training": TrainingRun(epochs=epochs)}))
        assert "encoders unfrozen" not in text
        assert "Accuracy on dev" not in text


def test_many_calls_are_cut_short_on_the_page_alone(report: ReportData, tmp_path: Path) -> None:
    many = tuple(
        call.model_copy(update={"call_id": f"n{i}"}) for i, call in enumerate(calls(5) * 50)
    )
    path = write_report(report.model_copy(update={"calls": many}), tmp_path / "report.html")
    assert path.read_text(encoding="utf-8").count('<details class="call"') == 100
    assert "150 more calls" in path.read_text(encoding="utf-8")
    kept = ReportData.model_validate_json(path.with_suffix(".json").read_bytes())
    assert len(kept.calls) == 250


def test_labels_of_another_model_get_colours_of_their_own() -> None:
    moods = ("calm", "angry", "sad", "glad", "red")
    assert len(set(palette(moods).values())) == len(moods)
    assert palette(LABELS)["red"] == palette(moods)["red"]


def test_a_call_has_a_colour_or_a_reason() -> None:
    with pytest.raises(ValidationError, match="call K1"):
        RecognisedCall(call_id="K1", customer_id="C1")
    with pytest.raises(ValidationError, match="call K1"):
        RecognisedCall(
            call_id="K1", customer_id="C1", probabilities={"a": 0.5, "b": 0.5}, reason="none"
        )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.7, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7383, "2 h 03 min"),
    ],
)
def test_durations_carry_over(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_figures_are_grouped_and_clocks_are_padded() -> None:
    assert number(1234567) == "1 234 567"
    assert number(14.23) == "14.2"
    assert clock(67.9) == "1:07"
