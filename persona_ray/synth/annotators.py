"""Simulated annotators: three know the customer, mostly hear the colour, and differ; a fourth
settles most of what the three leave tied."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from persona_ray.synth.config import SynthConfig
from persona_ray.synth.grammar import COLOURS
from persona_ray.synth.streams import Part, stream
from persona_ray.synth.truth import TruthCall, TruthUtterance

ANNOTATORS = ("annotator-1", "annotator-2", "annotator-3")
ADJUDICATOR = "adjudicator"
UNCERTAIN = "uncertain"
COLUMNS = ("call_id", "start_s", "end_s", "annotator", "label", "note")

_NOTES = ("听不出来", "太短", "两种都像", "情绪不明显")


def write_annotations(
    path: Path,
    config: SynthConfig,
    calls: Sequence[TruthCall],
    utterances: Sequence[TruthUtterance],
) -> int:
    """Labels of customer sentences in usable calls as CSV; returns the number of rows."""
    # A stream of its own: without adjudication the three say the same.
    rng, settling = stream(config, Part.ANNOTATORS), stream(config, Part.ADJUDICATOR)
    by_id = {call.call_id: call for call in calls}
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for utterance in utterances:
            call = by_id[utterance.call_id]
            if utterance.leaning is None or call.expected != "ok":
                continue
            labels = {
                annotator: _label(rng, config, call, sloppy=annotator == ANNOTATORS[-1])
                for annotator in _who(rng, config)
            }
            if _tied(labels.values()) and settling.random() < config.annotators.adjudicated:
                labels[ADJUDICATOR] = _label(settling, config, call, sloppy=False)
            borders = (f"{utterance.start_s:.3f}", f"{utterance.end_s:.3f}")
            for annotator, label in labels.items():
                drawing = settling if annotator == ADJUDICATOR else rng
                note = str(drawing.choice(_NOTES)) if label == UNCERTAIN else ""
                writer.writerow([call.call_id, *borders, annotator, label, note])
                rows += 1
    return rows


def _who(rng: np.random.Generator, config: SynthConfig) -> list[str]:
    """Two or three annotators of a sentence."""
    if rng.random() >= config.annotators.skip:
        return list(ANNOTATORS)
    absent = int(rng.integers(len(ANNOTATORS)))
    return [name for place, name in enumerate(ANNOTATORS) if place != absent]


def _tied(labels: Iterable[str]) -> bool:
    """Whether no label has more votes than every other."""
    votes = Counter(labels).most_common(2)
    return len(votes) > 1 and votes[0][1] == votes[1][1]


def _label(rng: np.random.Generator, config: SynthConfig, call: TruthCall, sloppy: bool) -> str:
    chances = config.annotators
    lost = chances.sloppy_loss if sloppy else 0.0
    rest = max(0.0, 1 - chances.primary - chances.secondary - chances.uncertain)
    others = [colour for colour in COLOURS if colour not in (call.colour, call.secondary)]
    # What a sloppy annotator loses goes to the other labels in equal parts.
    weights = {
        call.colour: chances.primary - lost,
        call.secondary: chances.secondary + lost / 4,
        UNCERTAIN: chances.uncertain + lost / 4,
        **dict.fromkeys(others, rest / 2 + lost / 4),
    }
    share = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=share / share.sum()))
