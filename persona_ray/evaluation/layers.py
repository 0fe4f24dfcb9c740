"""Which blocks of the speech encoder speak: their part in the vector that the head sees.

A learned weight alone does not say it, because blocks differ in how large their outputs are. The
speech vector is the sum of the weighted blocks; the part of a block is the share of that sum's
length which lies in the direction of the sum:

    part_l = <w_l h_l, v> / <v, v>,   v = sum over l of w_l h_l

with the mean over features taken out first, as the layer norm behind it does. The parts of a clip
sum to 1; a block that works against the others has one below 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from persona_ray.models.featurizer import Featurizer


class LayerParts:
    """The mean parts of the blocks over all clips that were seen."""

    def __init__(self) -> None:
        self.clips = 0
        self._sums: Tensor | None = None

    def add(self, parts: Tensor) -> None:
        """`parts` (clips, layers)."""
        summed = parts.double().sum(dim=0).cpu()
        self._sums = summed if self._sums is None else self._sums + summed
        self.clips += len(parts)

    @property
    def mean(self) -> tuple[float, ...]:
        """(layers,), summing to 1; empty where no clip was seen."""
        if self._sums is None:
            return ()
        return tuple((self._sums / self.clips).tolist())


@contextmanager
def listening(featurizer: Featurizer | None) -> Iterator[LayerParts]:
    """Collect the parts of every clip that passes `featurizer`; of None, none."""
    found = LayerParts()
    if featurizer is None:
        yield found
        return

    def hook(module: Featurizer, inputs: tuple[Any, ...], _: Tensor) -> None:
        found.add(layer_parts(module, inputs[0]))

    handle = featurizer.register_forward_hook(hook)
    try:
        yield found
    finally:
        handle.remove()


def layer_parts(featurizer: Featurizer, pooled: Tensor) -> Tensor:
    """(clips, layers) of `pooled` (clips, layers, features), what the encoder gives."""
    import torch

    hidden = featurizer.standardised(pooled).double()
    weighted = featurizer.weights().double()[:, None] * hidden
    weighted = weighted - weighted.mean(dim=-1, keepdim=True)
    whole = weighted.sum(dim=1)
    along = torch.einsum("blf,bf->bl", weighted, whole)
    return along / whole.pow(2).sum(dim=-1, keepdim=True).clamp_min(1e-30)
