"""What answers and sound are compared with, and when they have moved away from it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from persona_ray.audio.sound import sound_of
from persona_ray.errors import BundleError
from persona_ray.inference.calls import Piece
from persona_ray.inference.clips import SentenceRecognition
from persona_ray.launch.archive.seen import Seen, seen_of
from persona_ray.launch.evaluated import References
from persona_ray.serving.metrics import Metrics
from persona_ray.types import NothingUsable, Recognition
from persona_ray.watch.catalogue import LEVEL_DRIFT, SPEECH_RATE_DRIFT
from persona_ray.watch.drift import NamedShares, NumericShares, Population, Reference
from persona_ray.watch.instruments import Instrument
from persona_ray.watch.reference import (
    REFERENCE,
    Shares,
    TrainingReference,
    read_reference,
)
from tests.unit.serving.test_metrics import MODEL, sure, values

RATE_HZ = 16_000
RANDOM = np.random.default_rng(0)
TRAINED = TrainingReference(
    sentences=500,
    colours={"blue": 0.5, "red": 0.5},
    outcomes={"ok": 0.9, "nothing_usable": 0.1},
    level_dbfs=Shares.of(RANDOM.normal(-25, 3, 500).tolist()),
    silence=Shares.of(RANDOM.uniform(0, 0.3, 500).tolist()),
    clipping=Shares.of([0.0] * 500),
    characters_per_s=Shares.of(RANDOM.normal(4, 1, 500).tolist()),
)


def tone(level_dbfs: float, seconds: float = 0.5) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    loud = 10 ** (level_dbfs / 20) * math.sqrt(2)
    return np.clip(loud * np.sin(2 * np.pi * 440 * time_s), -1, 1).astype(np.float32)


def test_how_a_sentence_sounds() -> None:
    whole = sound_of(np.concatenate([tone(-20.0), np.zeros(8_000, np.float32)]), RATE_HZ)
    assert whole.level_dbfs == pytest.approx(-23.0, abs=0.1)
    assert (whole.silence, whole.clipping) == (0.5, 0.0)
    assert sound_of(tone(6.0), RATE_HZ).clipping > 0.5
    assert sound_of(np.zeros(0, np.float32), RATE_HZ).silence == 1.0
    assert sound_of(np.zeros(100, np.float32), RATE_HZ).level_dbfs == -100.0


def test_deciles_hold_a_tenth_each_and_the_same_ones_are_one() -> None:
    spread = Shares.of([float(number) for number in range(1000)])
    assert len(spread.edges) == 9
    assert spread.shares == pytest.approx([0.1] * 10, abs=0.002)
    constant = Shares.of([0.0] * 50)
    assert (constant.edges, constant.shares) == ((0.0,), (1.0, 0.0))
    binned = NumericShares(constant.edges, constant.shares)
    assert (binned.number(0.0), binned.number(0.1)) == (0, 1)


def test_names_that_training_did_not_have_are_a_bin_of_their_own() -> None:
    named = NamedShares({"red": 0.4, "blue": 0.6})
    assert [named.number(name) for name in ("red", "blue", "green")] == [0, 1, 2]
    assert named.shares == (0.4, 0.6, 0.0)


def drifts(levels: list[float]) -> dict[str, float]:
    known = {MODEL.digest: TRAINED.references()}
    metrics = Metrics(find=lambda digest: known.get(digest, {}))
    for level in levels:
        metrics.heard(tone(level), RATE_HZ, MODEL)
        metrics.recognised("好的" if level < -20 else None, 0.5, MODEL)
        metrics.answers([sure(0.9), NothingUsable("silence")], MODEL)
    return {
        name: values(metrics, f"persona_{name}_drift").get("training", math.nan)
        for name in ("level", "speech_rate", "colour", "confidence", "clipping")
    }


def test_a_line_that_grew_louder_has_drifted() -> None:
    same = drifts(RANDOM.normal(-25, 3, 300).tolist())
    assert 0 <= same["level"] < 0.25
    assert same["clipping"] == pytest.approx(0.0, abs=1e-9)
    # All answers are red where half of the labels were, and 4 characters a second hold.
    assert same["colour"] > 0.25
    # Without an evaluation nothing is known of confidence.
    assert math.isnan(same["confidence"])
    assert drifts(RANDOM.normal(-15, 3, 300).tolist())["level"] > 1.0


def test_too_little_tells_nothing() -> None:
    assert all(map(math.isnan, drifts([-25.0] * 99).values()))


def test_each_model_is_compared_with_its_own_training() -> None:
    """What most of the last values are of; a bundle without a reference pushes the others out."""
    asked: list[str] = []

    def find(digest: str) -> Mapping[Instrument, Reference]:
        asked.append(digest)
        return {} if digest == "old" else TRAINED.references()

    population = Population(find)
    for _ in range(200):
        population.see(LEVEL_DRIFT, -25.0, "new")
    assert [kind for kind, _, _ in population.told()] == [LEVEL_DRIFT]
    for _ in range(950):
        population.see(LEVEL_DRIFT, -25.0, "old")
    assert [math.isnan(index) for _, _, index in population.told()] == [True]
    population.see(SPEECH_RATE_DRIFT, 4.0, "")
    assert sorted(asked) == ["new", "old"]


def test_a_bundle_keeps_its_reference(tmp_path: Path) -> None:
    assert read_reference(tmp_path) is None
    TRAINED.write(tmp_path)
    assert read_reference(tmp_path) == TRAINED
    (tmp_path / REFERENCE).write_text('{"version": 1, "edges": []}')
    with pytest.raises(BundleError, match=r"reference\.json cannot be read"):
        read_reference(tmp_path)


def test_a_run_over_the_archive_tells_what_it_saw() -> None:
    samples = tone(-5.0)
    piece = Piece(0.0, 0.5, "好的", samples, RATE_HZ)
    sentence = SentenceRecognition(0.0, 0.5, "好的", Recognition({"red": 0.8, "blue": 0.2}, 1))
    mute = replace(sentence, result=NothingUsable("noise"), text=None)
    sentences = seen_of([piece, replace(piece, text=None)], [sentence, mute])
    assert (sentences[0].colour, sentences[0].characters_per_s) == ("red", 4.0)
    assert sentences[1].colour == ""
    seen = Seen("digest", References(TRAINED.references(), TRAINED.outcomes))
    for _ in range(60):
        seen.call("ok", sentences)
        seen.call("mono", ())
    found = {one.kind: one.index for one in seen.drift()}
    assert found["level"] > 1
    assert found["outcome"] > 0.25
    # Sixty sentences had a colour, and that is too few.
    assert "colour" not in found
    assert Seen("digest", References({}, {})).drift() == ()
