"""One pass of frozen encoders in all, however many epochs they are frozen.

Weighting the layers and the mean over frames are both linear, so they commute: the mean of each
layer is kept (layers x features numbers a clip), and the frozen epochs learn the layer weights
and the head from these. Vectors are float32 and in memory on every worker: 1.5 kB a clip for the
small encoder, 98 kB for 24 layers of 1024.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from persona_ray.training.batching import plan_pass
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.feeds import Feed, Vectors
from persona_ray.training.finetune.parallel import Classifier, gathered, precision

Row = tuple[int, Tensor | None, Tensor | None]


def encode_once(feed: Feed, batch_s: float, context: TrainContext) -> Vectors:
    """Vectors of every clip of `feed`, by the towers in evaluation mode; each worker encodes its
    share and receives the others'. Towers whose vectors `feed` has already do not run again."""
    model = feed.model
    classifier = Classifier(model).eval()
    durations_s = [example.duration_s for example in feed.examples]
    mine: list[Row] = []
    with torch.inference_mode(), precision(context.device):
        for positions in plan_pass(durations_s, batch_s, context.rank, context.world_size):
            encoded = classifier.encode(feed.inputs(positions))
            for at, position in enumerate(positions):
                mine.append((position, _row(encoded.speech, at), _row(encoded.text, at)))
    rows = sorted((row for part in gathered(mine, context) for row in part), key=lambda r: r[0])
    return Vectors(
        speech=None if model.speech is None else _stacked([row[1] for row in rows]),
        text=None if model.text is None else _stacked([row[2] for row in rows]),
    )


def _row(vectors: Tensor | None, at: int) -> Tensor | None:
    return None if vectors is None else vectors[at].float().cpu()


def _stacked(rows: Sequence[Tensor | None]) -> Tensor:
    # Outside of inference mode: what is made in it cannot take part in training.
    return torch.stack([row.clone() for row in rows if row is not None])
