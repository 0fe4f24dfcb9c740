"""Learned weights over the layers of a speech encoder (as in SUPERB, arXiv:2105.01051)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Of a number that hardly varies, the noise is not blown up; the value is batch norm's.
_LEAST_VARIANCE = 1e-5


class Featurizer(nn.Module):
    """Softmax-normalised weights over L layers, equal at the start.

    Weighting and the mean over frames are both linear, so they commute: layers pooled once can be
    weighted anew in every epoch. So is standardising, which may come before the weighting: with
    it, each of the L x F numbers of a clip has zero mean and unit variance over the clips that
    `fit` saw. Transformers carry a few numbers that are many times larger than the rest, and of
    which the head otherwise sees little else: docs/decisions/0012-speech-tower.md.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, layers: int, standardised_width: int | None = None) -> None:
        """`standardised_width`: F, where vectors are to be standardised; None: they are not."""
        super().__init__()
        self.layer_weights = nn.Parameter(torch.zeros(layers))
        self.standardises = standardised_width is not None
        if standardised_width is not None:
            self.register_buffer("centre", torch.zeros(layers, standardised_width))
            self.register_buffer("scale", torch.ones(layers, standardised_width))

    def fit(self, pooled: Tensor) -> None:
        """Take mean and deviation of `pooled` (clips, layers, features), the training clips."""
        if self.standardises:
            double = pooled.double()
            variance = double.var(dim=0, correction=0)
            self.centre.copy_(double.mean(dim=0))
            self.scale.copy_((variance + _LEAST_VARIANCE).sqrt())

    def weights(self) -> Tensor:
        """(layers,), positive, summing to 1."""
        return torch.softmax(self.layer_weights, dim=0)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, layers, ..., features) -> (batch, ..., features)."""
        return torch.einsum("l,bl...->b...", self.weights(), self.standardised(hidden))

    def standardised(self, hidden: Tensor) -> Tensor:
        """(batch, layers, ..., features), as they are weighted."""
        if not self.standardises:
            return hidden
        between = (1,) * (hidden.ndim - 3)
        shape = (self.centre.shape[0], *between, self.centre.shape[1])
        return (hidden - self.centre.view(shape)) / self.scale.view(shape)
