"""From clips to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from persona_ray.audio.frames import heard
from persona_ray.errors import ModelError
from persona_ray.models.bimodal import Batch, BimodalModel

if TYPE_CHECKING:
    from persona_ray.types import Samples


def fit_clip(samples: Samples, sample_rate_hz: int, model: BimodalModel) -> Samples:
    """`samples` (n,) at the rate of the model's speech encoder, cut to `model.max_clip_s`."""
    if model.speech is None:
        raise ModelError("the model does not hear: it takes no audio")
    return heard(samples, sample_rate_hz, model.speech.sample_rate_hz, model.max_clip_s)


def collate(
    texts: Sequence[str],
    waves: Sequence[Samples],
    labels: Sequence[str] | None,
    model: BimodalModel,
    sample_rate_hz: int,
    reads: bool = True,
) -> Batch:
    """One batch of clips for `model`, on the CPU.

    `waves`: samples (n,) of each clip at `sample_rate_hz`, ignored (may be empty) by a model that
    only reads; `texts` likewise by one that only hears, or where it `reads` nothing here. Raises
    ModelError for an unknown label or lists of different lengths.
    """
    wave_batch = lengths = tokens = targets = None
    counts = set()
    if model.speech is not None:
        counts.add(len(waves))
        fitted = [fit_clip(wave, sample_rate_hz, model) for wave in waves]
        clips = [torch.tensor(np.ascontiguousarray(wave, dtype=np.float32)) for wave in fitted]
        lengths = torch.tensor([len(clip) for clip in clips], dtype=torch.int64)
        wave_batch = torch.nn.utils.rnn.pad_sequence(clips, batch_first=True)
    if model.text is not None and reads:
        counts.add(len(texts))
        tokens = model.text.tokenize(texts)
    if labels is not None:
        counts.add(len(labels))
        index = {label: number for number, label in enumerate(model.labels)}
        unknown = sorted({label for label in labels if label not in index})
        if unknown:
            raise ModelError(
                f"label '{unknown[0]}' is none of the model's: {', '.join(model.labels)}"
            )
        targets = torch.tensor([index[label] for label in labels], dtype=torch.int64)
    if len(counts) != 1:
        raise ModelError(
            f"texts ({len(texts)}), waves ({len(waves)}) and labels "
            f"({'none' if labels is None else len(labels)}) must be of one number"
        )
    return Batch(wave_batch, lengths, tokens, targets)
