"""What frames are clustered by: MFCC, or the output of a block of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.frames import FrameGrid, heard
from persona_ray.config.pretraining import UnitsConfig
from persona_ray.errors import ConfigError
from persona_ray.objectives.speech_start import EncoderSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

# Audio, with padding, that passes the encoder at a time.
_BATCH_S = 60.0


@dataclass(frozen=True, slots=True)
class FrameFeatures:
    """What turns clips into frames. Picklable: each worker builds its own extractor.

    Clips come at `encoder.source_hz`, are cut to `longest_s` and brought to the rate of `grid`.
    """

    units: UnitsConfig
    encoder: EncoderSource
    grid: FrameGrid
    longest_s: float

    def extractor(self) -> Extractor:
        if self.units.features == "mfcc":
            return MfccExtractor(self)
        return LayerExtractor(self)

    def heard(self, samples: Samples) -> Samples:
        """Samples (n,) of a clip -> what the encoder hears of it, at the rate of `grid`."""
        return heard(samples, self.encoder.source_hz, self.grid.rate_hz, self.longest_s)


class MfccExtractor:
    """Frames of 39 coefficients."""

    def __init__(self, features: FrameFeatures) -> None:
        self._features = features

    def __call__(self, clips: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """Samples (n,) of each clip -> features (frames, 39) of each clip."""
        from persona_ray.audio.mfcc import mfcc_features

        made = self._features
        highest_hz = made.encoder.source_hz / 2
        return [mfcc_features(made.heard(clip), made.grid, highest_hz) for clip in clips]


class LayerExtractor:
    """Frames of a block's output, by the encoder in evaluation mode, on the GPU where there is
    one. Raises ConfigError where the encoder has no such block."""

    def __init__(self, features: FrameFeatures) -> None:
        import torch

        encoder = features.encoder.load().eval()
        if features.units.layer > encoder.layers:
            raise ConfigError(
                f"pretraining.speech.iterations: layer {features.units.layer} of an encoder with "
                f"{encoder.layers} blocks: name a lower one"
            )
        self._features = features
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._encoder = encoder.to(self._device)

    def __call__(self, clips: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """Samples (n,) of each clip -> outputs (frames, width) of each clip."""
        import torch

        waves = [self._features.heard(clip) for clip in clips]
        order = sorted(range(len(waves)), key=lambda number: (-len(waves[number]), number))
        found: dict[int, NDArray[np.float32]] = {}
        with torch.inference_mode():
            while order:
                longest = max(len(waves[order[0]]), 1)
                count = max(int(_BATCH_S * self._features.grid.rate_hz / longest), 1)
                chosen, order = order[:count], order[count:]
                found |= self._encode(chosen, [waves[number] for number in chosen])
        return [found[number] for number in range(len(waves))]

    def _encode(
        self, numbers: Sequence[int], waves: Sequence[Samples]
    ) -> dict[int, NDArray[np.float32]]:
        import torch

        lengths = torch.tensor([len(wave) for wave in waves])
        batch = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(wave) for wave in waves], batch_first=True
        )
        blocks, _ = self._encoder(batch.to(self._device), lengths.to(self._device))
        outputs = blocks[:, self._features.units.layer - 1].float().cpu().numpy()
        counts = self._encoder.frames(lengths).tolist()
        return {
            number: np.ascontiguousarray(output[:count])
            for number, output, count in zip(numbers, outputs, counts, strict=True)
        }


Extractor = MfccExtractor | LayerExtractor
