"""How sure a likeness of two voices is: the chance that no more than a stranger is so near.

A cosine alone says little: what strangers reach depends on the channel, on the seconds of speech
and on how many people the voice's kind has. Two deviations are formed:

- u, the cosine against those of strangers on the channel at this length of speech (measured);
- z, the cosine against the nearest strangers of a cohort, from both sides (adaptive s-norm:
  Matejka et al. 2017, "Analysis of score normalization in multilingual speaker recognition",
  Interspeech, sum of (s - mean) / deviation over the top of the cohort for either side, halved).

The smaller of both is read as a deviation of a normal law; times the number of voices that it was
compared with (Bonferroni) it bounds the chance that a caller who is in no library is taken for
somebody in it. So one rate of false matches holds for ten voices and for a million, at the price
of more misses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
# Cosines of the nearest strangers are never taken to lie closer together than this.
_MIN_DEVIATION = 0.03
_SHIPPED = "ge2e_calibration.safetensors"


@dataclass(frozen=True)
class ChannelCalibration:
    """Of one channel. `strangers` (k, 3): seconds of speech in rising order, and the mean and
    deviation of cosines between strangers at that length; `cohort` (n, d): unit vectors of people
    who are in no library, may be empty."""

    strangers: Floats
    cohort: Floats

    def deviation(self, cosine: float, speech_s: float) -> float:
        """u: how far above strangers a cosine is, in deviations. Beyond the measured lengths the
        nearest of them holds."""
        at = math.log(max(speech_s, 1e-3))
        grid = np.log(self.strangers[:, 0])
        mean = float(np.interp(at, grid, self.strangers[:, 1]))
        return (cosine - mean) / float(np.interp(at, grid, self.strangers[:, 2]))

    def normalised(self, cosine: float, one: Samples, other: Samples) -> float:
        """z of the cosine of two unit vectors (d,); infinite without a cohort."""
        if len(self.cohort) == 0:
            return math.inf
        return (self._against(cosine, one) + self._against(cosine, other)) / 2

    def _against(self, cosine: float, vector: Samples) -> float:
        likeness = np.sort(self.cohort @ vector)[-_TOP:]
        return (cosine - float(likeness.mean())) / max(float(likeness.std()), _MIN_DEVIATION)


@dataclass(frozen=True)
class Calibration:
    """Of one engine, by channel."""

    engine: str
    channels: Mapping[Channel, ChannelCalibration]

    def chance(
        self,
        query: Samples,
        found: Samples,
        speech_s: float,
        channel: Channel,
        voices: int,
    ) -> float:
        """The chance that a stranger to all `voices` voices has one as near as `query` (d,) is to
        `found` (d,), in [0, 1]; `speech_s` is what the query was made of."""
        known = self.channels[channel]
        cosine = float(query @ found)
        nearer = min(known.deviation(cosine, speech_s), known.normalised(cosine, query, found))
        return min(1.0, voices * 0.5 * math.erfc(nearer / math.sqrt(2)))

    @cached_property
    def sizes(self) -> set[int]:
        """Numbers in a voiceprint, by the cohorts."""
        return {part.cohort.shape[1] for part in self.channels.values() if len(part.cohort)}


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
            f"{engine}: make one with `python -m benchmarks.voice_trials --calibrate FILE` and "
            "name it in screening.voice.calibration"
        )
    return found


def read_calibration(path: Path) -> Calibration:
    """From a safetensors file: tensors CHANNEL.strangers and CHANNEL.cohort, the engine in its
    header. Raises ConfigError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            engine = (file.metadata() or {})["engine"]
            channels = {
                channel: ChannelCalibration(
                    file.get_tensor(f"{channel}.strangers").astype(np.float32),
                    file.get_tensor(f"{channel}.cohort").astype(np.float32),
                )
                for channel in Channel
            }
    except (OSError, KeyError, SafetensorError) as error:
        raise ConfigError(
            f"screening.voice.calibration {path} cannot be read ({error}): make one with `python "
            "-m benchmarks.voice_trials --calibrate FILE`, or leave it empty for the product's own"
        ) from None
    return Calibration(engine, channels)


def write_calibration(calibration: Calibration, path: Path) -> None:
    """As `read_calibration` reads it."""
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[np.float32] | NDArray[np.float16]] = {}
    for channel, part in calibration.channels.items():
        tensors[f"{channel}.strangers"] = np.ascontiguousarray(part.strangers, np.float32)
        tensors[f"{channel}.cohort"] = np.ascontiguousarray(part.cohort, np.float16)
    save_file(tensors, path, metadata={"engine": calibration.engine})
