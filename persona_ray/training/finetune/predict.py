"""What a model says of many clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from persona_ray.training.batching import plan_pass
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.feeds import Feed
from persona_ray.training.finetune.parallel import gathered, precision
from persona_ray.types import Example


def predict(
    network: nn.Module,
    feed: Feed,
    examples: Sequence[Example],
    batch_s: float,
    context: TrainContext,
) -> NDArray[np.float64]:
    """Probabilities (clips, labels) of `examples` in evaluation mode, the same on every worker."""
    durations_s = [example.duration_s for example in examples]
    mine: dict[int, NDArray[np.float64]] = {}
    # The module itself, not its data-parallel shell: workers may have different numbers of batches.
    module = network.module if isinstance(network, nn.parallel.DistributedDataParallel) else network
    module.eval()
    with torch.inference_mode(), precision(context.device):
        for positions in plan_pass(durations_s, batch_s, context.rank, context.world_size):
            rows = torch.softmax(module(feed.inputs(positions)).double(), dim=-1).cpu().numpy()
            mine |= dict(zip(positions, rows, strict=True))
    everyone = {at: row for part in gathered(mine, context) for at, row in part.items()}
    return np.stack([everyone[at] for at in range(len(examples))])
