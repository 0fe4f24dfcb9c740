"""One pass of the frozen encoders in all, however many frozen epochs there are.

Weighting the layers and the mean over frames are both linear, so they commute: the mean of each
layer is kept (layers x features numbers a clip), and the frozen epochs learn the layer weights
and the head from these. Vectors are float32 and in memory on every worker: 1.5 kB a clip for the
small encoder, 98 kB for 24 layers of 1024.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.batching import plan_pass
from persona_ray.training.context import TrainContext
from persona_ray.training.feeds import AudioFeed, VectorFeed
from persona_ray.training.parallel import gathered, precision

Row = tuple[int, Tensor | None, Tensor | None]


def encode_once(
    model: BimodalModel,
    feed: AudioFeed,
    durations_s: Sequence[float],
    batch_s: float,
    context: TrainContext,
) -> VectorFeed:
    """Encode every clip of `feed` in evaluation mode; each worker encodes its share and receives
    the others'."""
    model.eval()
    mine: list[Row] = []
    with torch.inference_mode(), precision(context.device):
        for positions in plan_pass(durations_s, batch_s, context.rank, context.world_size):
            encoded = model.encode(feed.inputs(positions))
            speech, text = _rows(encoded.speech), _rows(encoded.text)
            for at, position in enumerate(positions):
                mine.append(
                    (
                        position,
                        None if speech is None else speech[at],
                        None if text is None else text[at],
                    )
                )
    rows = sorted((row for part in gathered(mine, context) for row in part), key=lambda r: r[0])
    return VectorFeed(
        speech=None if model.speech is None else torch.stack([_given(r[1]) for r in rows]),
        text=None if model.text is None else torch.stack([_given(r[2]) for r in rows]),
        device=context.device,
    )


def _rows(vectors: Tensor | None) -> Tensor | None:
    # A copy: tensors made in inference mode cannot take part in training.
    return None if vectors is None else vectors.float().cpu()


def _given(vector: Tensor | None) -> Tensor:
    assert vector is not None
    return vector.clone()
