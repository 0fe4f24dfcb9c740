"""Simulated annotators: mostly right, never of one mind, and only about what can be heard."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from persona_ray.synth.annotators import ADJUDICATOR, COLUMNS, UNCERTAIN, write_annotations
from persona_ray.synth.config import Engine, SynthConfig
from persona_ray.synth.dialogue import plan_archive
from persona_ray.synth.grammar import COLOURS
from persona_ray.synth.truth import TruthCall, TruthUtterance
from tests.unit.synth.archives import Built


def test_annotators_hear_the_colour_and_disagree(tmp_path: Path) -> None:
    config = SynthConfig(engine=Engine.TONE)
    chances = config.annotators
    built_plan = plan_archive(config)
    labels = _simulated(config, tmp_path)
    colour = {c.call_id: c.customer.colour for c in built_plan.calls}
    right: dict[str, list[bool]] = defaultdict(list)
    for row in labels:
        assert row["label"] in (*COLOURS, UNCERTAIN)
        assert (row["note"] == "") == (row["label"] != UNCERTAIN)
        right[row["annotator"]].append(row["label"] == colour[row["call_id"]])
    rates = {name: float(np.mean(hits)) for name, hits in right.items()}
    assert rates["annotator-1"] == pytest.approx(chances.primary, abs=0.04)
    assert rates["annotator-3"] == pytest.approx(chances.primary - chances.sloppy_loss, abs=0.05)
    votes: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    settled = set()
    for row in labels:
        clip = (row["call_id"], row["start_s"])
        if row["annotator"] == ADJUDICATOR:
            settled.add(clip)
        else:
            votes[clip][row["label"]] += 1
    assert {count.total() for count in votes.values()} == {2, 3}
    tied = {clip for clip, count in votes.items() if [*count.values()] in ([1, 1], [1, 1, 1])}
    assert settled <= tied
    assert len(settled) / len(tied) == pytest.approx(chances.adjudicated, abs=0.08)


def _simulated(config: SynthConfig, folder: Path) -> list[dict[str, str]]:
    """Labels over a full-sized plan whose utterances all last a second: no speech is needed."""
    calls, utterances = [], []
    for call in plan_archive(config).calls:
        customer = call.customer
        calls.append(
            TruthCall(call.call_id, customer.customer_id, "A", customer.colour, customer.secondary,
                      (), 1, "ok", None)
        )  # fmt: skip
        utterances += [
            TruthUtterance(call.call_id, n, turn.speaker, customer.customer_id, None, 1, float(n),
                           n + 1.0, turn.text, customer.colour, turn.sentence.leaning, (), ())
            for n, turn in enumerate(call.turns)
            if turn.sentence is not None
        ]  # fmt: skip
    path = folder / "annotations.csv"
    assert write_annotations(path, config, calls, utterances) > 2 * len(utterances)
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_annotations_point_at_sentences_of_usable_calls(built: Built) -> None:
    spoken = {
        (row.call_id, f"{row.start_s:.3f}", f"{row.end_s:.3f}"): row for row in built.utterances
    }
    usable = {call.call_id for call in built.calls if call.expected == "ok"}
    with (built.folder / "annotations.csv").open(encoding="utf-8") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        labels = list(reader)
    assert len(labels) == built.summary.annotations > 0
    for label in labels:
        row = spoken[label["call_id"], label["start_s"], label["end_s"]]
        assert row.leaning is not None
        assert row.call_id in usable
