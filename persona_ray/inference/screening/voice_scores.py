"""How sure a likeness of two voices is: the chance that a stranger is as near.

A cosine alone says little: what strangers reach depends on the channel, on the language and on how
many people the voice's kind has. So it is read against what strangers reach with these very voices:

- u: of people. (cosine - mean) / deviation of what a stranger reaches with either voice, halved
  (s-norm). Mean and deviation follow from the strangers' mean and covariance: Dehak et al. 2010,
  "Cosine similarity scoring without score normalization techniques", Odyssey. No stranger's
  voiceprint is kept for it. What u strangers of each other reach was measured; it is put to 0 +- 1.
- z: of a cohort's nearest, where voices come in crowds that are nearer to each other than people
  are, as synthetic ones do (adaptive s-norm: Matejka et al. 2017, "Analysis of score normalization
  in multilingual speaker recognition", Interspeech).

The smaller of both is read as a deviation of a normal law; times the number of voices that it was
compared with (Bonferroni), and times what asking again as a call goes on adds, it bounds the chance
that a caller who is in no library is taken for somebody in it. So one rate of false matches holds
for ten voices and for a million, at the price of more misses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.errors import ConfigError
from persona_ray.inference.screening.records import Channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.config.screening import VoiceConfig
    from persona_ray.types import Samples

    Floats = NDArray[np.float32]

# The nearest of the cohort that a voice is measured against.
_TOP = 20
# Cosines of strangers to one voice are never taken to lie closer together than this.
_MIN_DEVIATION = 0.03
# A call is asked about again after half as much speech more. Strangers were 1.6 to 2 times as often
# as near at any of 3, 4.5, 6.75 and 8 s as they were at one of them (benchmarks.voice_trials).
LOOKS = 2.0
_SHIPPED = "ge2e_calibration.safetensors"


@dataclass(frozen=True)
class Strangers:
    """People who are in no library, as one normal law. `mean` (d,) of their unit vectors;
    `spread` (r, d), whose product spread.T @ spread is their covariance; `level` and `scale`: mean
    and deviation of s-norm among people who are in neither."""

    mean: Floats
    spread: Floats
    level: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, people: Floats, level: float = 0.0, scale: float = 1.0) -> Strangers:
        """From one unit vector (n, d) of each of two people or more. What is kept is turned so
        that no row of it is a person's."""
        mean = people.mean(axis=0)
        _, sizes, axes = np.linalg.svd(people - mean, full_matrices=False)
        rank = min(len(people) - 1, len(mean))
        spread = sizes[:rank, None] * axes[:rank] / math.sqrt(len(people) - 1)
        return cls(mean, spread.astype(np.float32), level, scale)

    def deviation(self, one: Samples, other: Samples) -> float:
        """u of two unit vectors (d,)."""
        return (self.s_norm(one, other) - self.level) / self.scale

    def s_norm(self, one: Samples, other: Samples) -> float:
        """Of two unit vectors (d,)."""
        cosine = float(one @ other)
        return (self._against(cosine, one) + self._against(cosine, other)) / 2

    def _against(self, cosine: float, vector: Samples) -> float:
        deviation = float(np.linalg.norm(self.spread @ vector))
        return (cosine - float(self.mean @ vector)) / max(deviation, _MIN_DEVIATION)


@dataclass(frozen=True)
class ChannelCalibration:
    """Of one channel. `cohort` (n, d): unit vectors of a crowd of voices that are in no library,
    may be empty."""

    strangers: Strangers
    cohort: Floats

    def nearness(self, one: Samples, other: Samples) -> float:
        """How far two unit vectors (d,) are above strangers, in deviations: the smaller of u and
        z."""
        return min(self.strangers.deviation(one, other), self._among_cohort(one, other))

    def _among_cohort(self, one: Samples, other: Samples) -> float:
        """z; infinite without a cohort."""
        if len(self.cohort) == 0:
            return math.inf
        cosine = float(one @ other)
        return (self._against(cosine, one) + self._against(cosine, other)) / 2

    def _against(self, cosine: float, vector: Samples) -> float:
        likeness = np.sort(self.cohort @ vector)[-_TOP:]
        return (cosine - float(likeness.mean())) / max(float(likeness.std()), _MIN_DEVIATION)


@dataclass(frozen=True)
class Calibration:
    """Of one engine, by channel."""

    engine: str
    channels: Mapping[Channel, ChannelCalibration]

    def chance(self, query: Samples, found: Samples, channel: Channel, voices: int) -> float:
        """The chance that in the course of a call a stranger to all `voices` voices has one as near
        as `query` (d,) is to `found` (d,), in [0, 1]."""
        nearness = self.channels[channel].nearness(query, found)
        return min(1.0, LOOKS * voices * 0.5 * math.erfc(nearness / math.sqrt(2)))


def surprise(chance: float) -> float:
    """A chance as the score of a match: -log10 of it, at most 300."""
    return -math.log10(max(chance, 1e-300))


def build_calibration(config: VoiceConfig, engine: str) -> Calibration:
    """The calibration that a configuration names; that which comes with the product for its own
    engine. Raises ConfigError where it is missing, damaged or another engine's."""
    if config.calibration:
        found = read_calibration(Path(config.calibration))
    else:
        with as_file(files("persona_ray.inference.screening").joinpath(_SHIPPED)) as path:
            found = read_calibration(path)
    if found.engine != engine:
        raise ConfigError(
            f"screening.voice.calibration is of engine {found.engine}, and the voiceprints are of "
            f"{engine}: make one with `python -m benchmarks.voice_calibration FILE` and "
            "name it in screening.voice.calibration"
        )
    return found


def read_calibration(path: Path) -> Calibration:
    """From a safetensors file: tensors CHANNEL.mean, .spread, .law (level and scale) and
    .cohort, the engine in its header. Raises ConfigError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            engine = (file.metadata() or {})["engine"]
            channels = {
                channel: ChannelCalibration(
                    Strangers(
                        file.get_tensor(f"{channel}.mean"),
                        file.get_tensor(f"{channel}.spread"),
                        *file.get_tensor(f"{channel}.law").tolist(),
                    ),
                    file.get_tensor(f"{channel}.cohort").astype(np.float32),
                )
                for channel in Channel
            }
    except (OSError, KeyError, SafetensorError) as error:
        raise ConfigError(
            f"screening.voice.calibration {path} cannot be read ({error}): make one with `python "
            "-m benchmarks.voice_calibration FILE`, or leave it empty for the product's own"
        ) from None
    return Calibration(engine, channels)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """As `read_calibration` reads it."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[np.float32] | NDArray[np.float16]] = {}
    for channel, part in calibration.channels.items():
        strangers = part.strangers
        tensors[f"{channel}.mean"] = np.ascontiguousarray(strangers.mean, np.float32)
        tensors[f"{channel}.spread"] = np.ascontiguousarray(strangers.spread, np.float32)
        tensors[f"{channel}.law"] = np.array([strangers.level, strangers.scale], np.float32)
        tensors[f"{channel}.cohort"] = np.ascontiguousarray(part.cohort, np.float16)
    save_file(tensors, path, metadata={"engine": calibration.engine})
