"""Cross entropy over the configured labels, weighted for labels that are rare or hard."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

# The name of the loss among the terms of an update.
TERM = "label"


def summed_focal_loss(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, gamma: float = 0.0
) -> Tensor:
    """Sum over the clips of -w (1 - p)^gamma log p, p that of the target: `logits` (batch, labels),
    `targets` (batch,), `weights` (labels,). Focal loss as in Lin et al. 2017, equation 5; with
    `gamma` 0 it is cross entropy.

    A sum, not a mean: several workers and micro-batches divide by the clips of the whole update.
    """
    losses = F.cross_entropy(logits, targets, reduction="none")
    if gamma:
        # Not 0, where a root has no gradient.
        losses = (1.0 - (-losses).exp()).clamp(min=1e-12) ** gamma * losses
    if weights is not None:
        losses = weights[targets] * losses
    return losses.sum()
