"""Cross entropy over the configured labels."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Sum over the clips of -log p(target): `logits` (batch, labels), `targets` (batch,).

    A sum, not a mean: with several workers each divides by the clips of the whole step, so that
    the averaged gradient is that of one worker with the whole step.
    """
    return F.cross_entropy(logits, targets, reduction="sum")
