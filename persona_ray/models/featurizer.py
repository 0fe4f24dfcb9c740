"""Learned weights over the layers of a speech encoder (as in SUPERB, arXiv:2105.01051)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Featurizer(nn.Module):
    """Softmax-normalised weights over L layers, equal at the start.

    Weighting and the mean over frames are both linear, so they commute: layers pooled once can be
    weighted anew in every epoch.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.layer_weights = nn.Parameter(torch.zeros(layers))

    def weights(self) -> Tensor:
        """(layers,), positive, summing to 1."""
        return torch.softmax(self.layer_weights, dim=0)

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, layers, ..., features) -> (batch, ..., features)."""
        return torch.einsum("l,bl...->b...", self.weights(), hidden)
