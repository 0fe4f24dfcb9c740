"""What sentences mean, by a published encoder that is not trained further."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from persona_ray.errors import BundleError
from persona_ray.models.universal import NAME, WIDTH, universal_vectors

# Sentences that are encoded at a time.
_BATCH = 256


class Meaning:
    """Of several sentences the mean of their vectors, brought to length 1."""

    name = NAME
    width = WIDTH

    def __init__(self, keep: bool = False) -> None:
        """`keep`: what was once encoded is kept, for training; a service forgets what was said."""
        self._kept: dict[str, Tensor] | None = {} if keep else None

    def of(self, rows: Sequence[Sequence[str]]) -> Tensor:
        """(rows, width); zeros for a row without sentences."""
        ends = list(accumulate(map(len, rows)))
        vectors = self._vectors([sentence for row in rows for sentence in row])
        found = torch.zeros(len(rows), WIDTH)
        for at, (row, end) in enumerate(zip(rows, ends, strict=True)):
            if row:
                found[at] = vectors[end - len(row) : end].mean(dim=0)
        return torch.nn.functional.normalize(found, dim=-1)

    def _vectors(self, sentences: Sequence[str]) -> Tensor:
        kept = {} if self._kept is None else self._kept
        new = sorted({sentence for sentence in sentences if sentence not in kept})
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            kept.update(zip(part, torch.from_numpy(universal_vectors(part)), strict=True))
        return torch.stack([kept[one] for one in sentences]) if sentences else torch.zeros(0, WIDTH)


def meaning_of(name: str, keep: bool = False) -> Meaning | None:
    """The encoder of a bundle, None where it has none. Raises BundleError for one that this release
    does not know."""
    if not name:
        return None
    if name != Meaning.name:
        raise BundleError(
            f"the bundle reads meaning by '{name}', known is {Meaning.name}: train again"
        )
    return Meaning(keep)
