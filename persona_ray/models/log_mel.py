"""Whisper's log-mel spectrogram, batched, each clip as if it were alone.

Shapes: batch B, samples S, frames T, mel bands M.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from persona_ray.models.tower import mask_of


class LogMel(nn.Module):
    """What transformers' WhisperFeatureExtractor makes of one clip without padding, for many.

    Two things in it look beyond a frame: the reflection of the samples at both ends of the clip,
    and the floor 8 (80 dB) below the clip's loudest value. Both are the clip's own here, whatever
    the batch pads it to.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, extractor: Any) -> None:
        """`extractor`: a transformers WhisperFeatureExtractor, which gives sizes and filters."""
        super().__init__()
        self.size = int(extractor.n_fft)
        self.hop = int(extractor.hop_length)
        # Not persistent: a folder holds them as preprocessor_config.json.
        self.register_buffer("window", torch.hann_window(self.size), persistent=False)
        filters = torch.as_tensor(extractor.mel_filters, dtype=torch.float32)
        self.register_buffer("filters", filters, persistent=False)

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames (B,) of clips with `lengths` (B,) samples, at least one window each."""
        return torch.div(lengths, self.hop, rounding_mode="floor")

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`waves` (B, S) with `lengths` (B,) of at least one window -> (B, M, T), zero beyond each
        clip's own frames, and the mask (B, T) of these."""
        # bfloat16 has too few digits for powers: the loudest and the faintest band are 10^8 apart.
        with torch.autocast(waves.device.type, enabled=False):
            signal = _reflected(waves.float(), lengths, self.size // 2)
            spectrum = torch.stft(
                signal, self.size, self.hop, window=self.window, center=False, return_complex=True
            )
            power = spectrum[..., :-1].abs().square()
            level = (self.filters.T @ power).clamp(min=1e-10).log10()
            own = mask_of(self.frames(lengths), level.shape[-1])
            loudest = level.masked_fill(~own[:, None], -torch.inf).amax(dim=(1, 2), keepdim=True)
            level = (torch.maximum(level, loudest - 8.0) + 4.0) / 4.0
        return level.masked_fill(~own[:, None], 0.0), own


def _reflected(waves: Tensor, lengths: Tensor, margin: int) -> Tensor:
    """(B, S) -> (B, S + 2 margin): each clip mirrored at its first and at its own last sample.

    What lies further behind a clip than `margin` is some sample of the clip.
    """
    places = torch.arange(-margin, waves.shape[1] + margin, device=waves.device).abs()
    last = lengths[:, None] - 1
    mirrored = torch.where(places <= last, places, 2 * last - places).clamp(min=0)
    return waves.gather(1, mirrored)
