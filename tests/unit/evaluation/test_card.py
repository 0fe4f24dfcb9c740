"""The model card says what the report says, and what it does not know."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from persona_ray.evaluation.report import ReportData
from persona_ray.evaluation.report.card import CARD, cell, estimate, model_card, write_card
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.models.contract import Contract
from persona_ray.models.manifest import digest, verify
from tests.unit.evaluation.made_up import full_report
from tests.unit.models.test_bimodal import small_model


@pytest.fixture(scope="module")
def report() -> ReportData:
    return full_report()


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_of(small_model(), "corpus-1", {"loss": 0.5}, {"epochs": 3})


@pytest.fixture(scope="module")
def card(report: ReportData, contract: Contract) -> str:
    return model_card(report, contract.with_temperature(1.7), "abc123")


def rows_of(card: str, heading: str) -> list[list[str]]:
    """The tables under a heading, without their rules."""
    section = re.split(r"^## ", card, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(heading)]
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_every_table_is_whole(card: str) -> None:
    """A rule under each head, as many cells in each row, no line between."""
    blocks = re.findall(r"(?:^\|.*\n)+", card, flags=re.MULTILINE)
    assert len(blocks) >= 8
    for block in blocks:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block
        assert "---" in block.splitlines()[1], block
    assert not re.search(r"\n\n\n", card)
    # Paragraphs and tables stand apart.
    assert not re.search(r"^(?!\||#).+\n\|", card, flags=re.MULTILINE)
    assert "None" not in card


def test_figures_are_those_of_the_report(card: str, report: ReportData) -> None:
    assert report.held_out is not None
    figures = {row[0]: row[1:] for row in rows_of(card, "Figures")}
    assert figures["accuracy"] == [
        estimate(report.held_out.customers.accuracy),
        estimate(report.held_out.clips.accuracy),
    ]
    assert figures["of"] == ["8", "88"]
    assert figures["red recognised as such"][1] == estimate(report.held_out.clips.shares[0][0])
    heard = [row[0] for row in rows_of(card, "Evidence")]
    ends = [str(part.curves[0].points[-1].sentences) for part in report.evidence]
    few = ["sentences heard", "1", "2", "3", "5", "10"]
    assert heard == [*few, ends[0], *few, ends[1]]
    saved = [row[4] for row in rows_of(card, "Calibration")][1:]
    assert saved == [estimate(part.after.ece, 1) for part in report.calibration]
    assert "| temperature | 1.7 |" in card
    assert "`abc123`" in card


def test_it_holds_no_word_of_a_customer(card: str, report: ReportData) -> None:
    said = {sentence.text for call in report.calls for sentence in call.sentences}
    assert said
    assert not [text for text in said if text in card]
    assert not [call.customer_id for call in report.calls if call.customer_id in card]


def test_names_from_the_database_cannot_write_in_it(card: str) -> None:
    assert "scene: &lt;b&gt;complaint&lt;/b&gt;" in card
    assert cell("a|b\n# c <i>[x](y)`") == r"a\|b \# c &lt;i&gt;\[x\](y)\`"


def test_limits_come_from_the_figures(report: ReportData, contract: Contract, card: str) -> None:
    limits = card[card.index("## Limits") : card.index("## Made with")]
    assert "synthetic calls alone" in limits
    assert "Judged on 8 customers" in limits
    assert "mp3" in limits
    assert "All clips are alike in: call condition." in limits
    real = report.model_copy(
        update={"synthetic": False, "slices": (), "comparison": None, "held_out": None}
    )
    text = model_card(real, contract.with_temperature(1.0, "12 dev clips"), "abc")
    limits = text[text.index("## Limits") :]
    assert "synthetic" not in text
    assert "Not judged on customers it never heard" in limits
    assert "was not measured" in limits
    assert "not fitted: 12 dev clips" in text


def test_a_slice_that_is_worse_is_named(report: ReportData, contract: Contract) -> None:
    found = report.slices[1]
    first = found.dimensions[0].slices[0]
    assert first.difference is not None
    worse = first.model_copy(
        update={
            "difference": first.difference.model_copy(
                update={"value": -0.2, "interval": (-0.3, -0.1)}
            )
        }
    )
    scene = found.dimensions[0].model_copy(update={"slices": (worse,)})
    data = report.model_copy(
        update={"slices": (found.model_copy(update={"dimensions": (scene,)}),)}
    )
    text = model_card(data, contract, "abc")
    assert f"Worse than elsewhere: scene: {cell(first.name)}, −20 (−30 to −10) points" in text


def test_each_part_may_be_missing(report: ReportData, contract: Contract) -> None:
    for name in ("corpus", "annotation", "training", "held_out", "comparison", "split_gap",
                 "pretraining", "leakage"):  # fmt: skip
        assert model_card(report.model_copy(update={name: None}), contract, "abc")
    for name in ("calibration", "evidence", "stopping", "slices"):
        text = model_card(report.model_copy(update={name: ()}), contract, "abc")
        assert f"## {name.capitalize()}" not in text


def test_a_bundle_with_its_card_is_the_same_bundle(tmp_path: Path, card: str) -> None:
    model = small_model()
    save_bundle(model, tmp_path / "bundle", contract_of(model, "", {}, {}))
    before = digest(tmp_path / "bundle")
    path = write_card(card, tmp_path / "bundle")
    assert path.name == CARD
    assert path.read_text(encoding="utf-8") == card
    verify(tmp_path / "bundle")
    assert digest(tmp_path / "bundle") == before
    # A new bundle has not been judged: the card of the old one does not stay.
    save_bundle(model, tmp_path / "bundle", contract_of(model, "", {}, {}))
    assert not path.exists()
