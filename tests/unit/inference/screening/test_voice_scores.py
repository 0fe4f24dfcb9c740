"""What strangers reach: s-norm without their voiceprints, and the file it is kept in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

from persona_ray.config.screening import VoiceConfig
from persona_ray.errors import ConfigError
from persona_ray.inference.screening.ge2e import Ge2eEncoder
from persona_ray.inference.screening.records import Channel
from persona_ray.inference.screening.voice_scores import (
    Calibration,
    ChannelCalibration,
    Strangers,
    build_calibration,
    read_calibration,
    write_calibration,
)

PHONE = Channel.TELEPHONE
SIZE = 64
Vectors = NDArray[np.float32]


def people(count: int, seed: int, width: float = 2.0) -> Vectors:
    """Unit vectors (count, SIZE) of random voices, all somewhat alike."""
    drawn = np.random.default_rng(seed).normal(1.0, width, (count, SIZE))
    rows: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return rows


def calibration(strangers: Strangers, cohort: Vectors | None = None) -> Calibration:
    held = np.zeros((0, SIZE), np.float32) if cohort is None else cohort
    return Calibration("fake/1", dict.fromkeys(Channel, ChannelCalibration(strangers, held)))


def test_s_norm_is_that_against_each_of_the_strangers() -> None:
    strangers, (one, other) = people(12, 0), people(2, 1)
    sides = [
        (one @ other - (strangers @ v).mean()) / (strangers @ v).std(ddof=1) for v in (one, other)
    ]
    assert Strangers.of(strangers).s_norm(one, other) == pytest.approx(np.mean(sides), rel=1e-4)


def test_no_row_of_what_is_kept_is_a_persons() -> None:
    strangers = people(12, 0)
    kept = Strangers.of(strangers)
    rows = kept.spread / np.linalg.norm(kept.spread, axis=1, keepdims=True)
    away = strangers - kept.mean
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    assert np.abs(rows @ away.T).max() < 0.9


@pytest.mark.parametrize("voices", [1, 20])
def test_strangers_are_matched_no_more_often_than_promised(voices: int) -> None:
    """Voices of one law, none of them seen before; the promise is of all looks at a call."""
    known, others = Strangers.of(people(100, 0)), people(40, 3)
    reached = [known.s_norm(one, other) for one in others[:20] for other in others[20:]]
    judge = calibration(replace(known, level=float(np.mean(reached)), scale=float(np.std(reached))))
    callers, libraries = people(100, 1), people(20 * voices, 2).reshape(20, voices, SIZE)
    matched = [
        min(judge.chance(caller, found, PHONE, voices) for found in library) <= 0.05
        for library in libraries
        for caller in callers[: 2000 // voices]
    ]
    assert 0.01 < np.mean(matched) <= 0.05


def test_a_chance_is_a_normal_tail_for_every_voice_and_look() -> None:
    strangers = Strangers(
        np.zeros(SIZE, np.float32), 0.1 * np.eye(SIZE, dtype=np.float32), 0.2, 1.1
    )
    one, other = np.eye(SIZE, dtype=np.float32)[:2]
    heard = np.float32(0.4) * one + np.float32(np.sqrt(1 - 0.16)) * other
    expected = 2 * 7 * norm.sf((4 - 0.2) / 1.1)
    assert calibration(strangers).chance(heard, one, PHONE, 7) == pytest.approx(expected, rel=1e-3)


def test_a_calibration_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    cohort = np.eye(SIZE, dtype=np.float32)[:3]
    strangers = Strangers.of(people(5, 0), 0.25, 0.5)
    write_calibration(calibration(strangers, cohort), path)
    again = read_calibration(path)
    assert again.engine == "fake/1"
    part = again.channels[PHONE]
    assert np.array_equal(part.cohort, cohort)
    assert np.array_equal(part.strangers.spread, strangers.spread)
    assert (part.strangers.level, part.strangers.scale) == (0.25, 0.5)
    config = VoiceConfig(calibration=str(path))
    with pytest.raises(ConfigError, match="is of engine fake/1, and the voiceprints are of e"):
        build_calibration(config, "e")
    path.write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=r"own\.safetensors cannot be read"):
        build_calibration(config, "e")


def test_the_shipped_calibration_is_of_the_shipped_engine() -> None:
    shipped = build_calibration(VoiceConfig(), Ge2eEncoder.name)
    assert shipped.channels[PHONE].cohort.shape[1] == Ge2eEncoder.size
    for part in shipped.channels.values():
        assert part.strangers.spread.shape[1] == len(part.strangers.mean) == Ge2eEncoder.size
        assert part.strangers.scale > 0
