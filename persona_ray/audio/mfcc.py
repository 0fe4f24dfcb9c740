"""Mel-frequency cepstral coefficients on the grid of an encoder's frames.

HuBERT's first units are clusters of 39 numbers a frame: 13 coefficients with their first and
second differences (Hsu et al. 2021, arXiv 2106.07447, section 3.2), of windows of 25 ms. The window
stands in the middle of what the encoder's frame sees, so that frame t and unit t are the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.audio.frames import FrameGrid
    from persona_ray.types import Samples

COEFFICIENTS = 13
FEATURES = 3 * COEFFICIENTS
WINDOW_S = 0.025
# Frames that a difference is taken over: two on either side, as in Kaldi.
_DELTA_FRAMES = 5


def mfcc_features(samples: Samples, grid: FrameGrid, highest_hz: float) -> NDArray[np.float32]:
    """Samples (n,) at `grid.rate_hz` -> features (grid.frames(n), FEATURES).

    `highest_hz`: end of the highest mel band. Speech that came at 8 kHz has nothing above 4 kHz,
    whatever rate it was brought to; bands there would hold the resampler's floor.
    """
    import torch
    from torchaudio.compliance.kaldi import mfcc
    from torchaudio.functional import compute_deltas

    frames = grid.frames(len(samples))
    window = round(WINDOW_S * grid.rate_hz)
    first = (grid.window - window) // 2
    end = first + (frames - 1) * grid.stride + window
    wave = np.pad(samples, (max(-first, 0), max(end - len(samples), 0)))
    wave = wave[max(first, 0) :][: end - first]
    # Half a sample more, because torchaudio cuts milliseconds down to samples.
    ms = 1000.0 / grid.rate_hz
    static = mfcc(
        torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))[None],
        num_ceps=COEFFICIENTS,
        frame_length=(window + 0.5) * ms,
        frame_shift=(grid.stride + 0.5) * ms,
        high_freq=min(highest_hz, grid.rate_hz / 2),
        sample_frequency=float(grid.rate_hz),
    ).T
    rise = compute_deltas(static, win_length=_DELTA_FRAMES)
    bend = compute_deltas(rise, win_length=_DELTA_FRAMES)
    return np.ascontiguousarray(torch.cat([static, rise, bend]).T.numpy())
