"""Two towers: what was said and how, and what may be answered, as unit vectors of one space.

Shapes: queries Q, items I, n-grams of the longest text N, feature columns C, width W.

A text's vector is that of its n-grams beside that of its meaning, where a sentence encoder tells
it: other words for the same thing are near then. A tower is the text's vector plus what a hidden
layer makes of text and features (He et al. 2016: it begins with nothing, so that before training
two texts are near that share n-grams or meaning). Both towers read with one set of n-gram vectors:
script and customer use the same words for the same thing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from persona_ray.models.ranker.columns import group_of, standardised

if TYPE_CHECKING:
    from persona_ray.models.contract import FeatureColumn
    from persona_ray.models.grams import GramEncoder
    from persona_ray.models.ranker.meaning import Meaning
    from persona_ray.models.ranker.records import Item, Query

# Of the scale of the cosines, which is learned: 1 / 0.01, as CLIP (Radford et al. 2021) bounds it.
_STEEPEST = 100.0


@dataclass(frozen=True, slots=True)
class Batch:
    """What a tower reads. `ids`, `weights` (rows, N) are the n-grams', `features` (rows, C),
    `meaning` (rows, M), M = 0 without a sentence encoder."""

    ids: Tensor
    weights: Tensor
    features: Tensor
    meaning: Tensor

    def __getitem__(self, rows: Tensor) -> Batch:
        return Batch(self.ids[rows], self.weights[rows], self.features[rows], self.meaning[rows])

    def __len__(self) -> int:
        return len(self.features)

    def trimmed(self) -> Batch:
        """Without the n-grams' columns that are empty (id 0) in all rows: the last ones."""
        longest = max(1, int((self.ids > 0).sum(dim=1).max()))
        return replace(self, ids=self.ids[:, :longest], weights=self.weights[:, :longest])


class Tower(nn.Module):
    """Text vectors (rows, W) and features (rows, C) to unit vectors (rows, W)."""

    def __init__(self, width: int, columns: int, hidden: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width + columns, hidden)
        self.out = nn.Linear(hidden, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, text: Tensor, features: Tensor) -> Tensor:
        text = nn.functional.normalize(text, dim=-1)
        moved = self.out(nn.functional.gelu(self.hidden(torch.cat([text, features], dim=-1))))
        return nn.functional.normalize(text + moved, dim=-1)


class TwoTowers(nn.Module):
    """A score is the cosine of both vectors times a learned scale."""

    def __init__(
        self,
        text: GramEncoder,
        query_columns: Sequence[FeatureColumn],
        item_columns: Sequence[FeatureColumn],
        hidden: int,
        temperature: float,
        meaning: Meaning | None = None,
        group_dropout: float = 0.0,
    ) -> None:
        """`meaning` None: n-grams alone are read. `group_dropout`: share of groups of a query's
        features that training leaves out, so that a query without them is none that the tower
        never met."""
        super().__init__()
        self.text = text
        self.query_columns = tuple(query_columns)
        self.item_columns = tuple(item_columns)
        self.meaning = meaning
        width = text.features + (0 if meaning is None else meaning.width)
        self.query = Tower(width, len(self.query_columns), hidden)
        self.item = Tower(width, len(self.item_columns), hidden)
        self.log_scale = nn.Parameter(torch.tensor(-math.log(temperature)))
        self._dropout = group_dropout
        names = sorted({group_of(column.name) for column in self.query_columns})
        members = [names.index(group_of(column.name)) for column in self.query_columns]
        self._groups = len(names)
        self._members = torch.tensor(members, dtype=torch.long)

    @property
    def scale(self) -> Tensor:
        return self.log_scale.exp().clamp(max=_STEEPEST)

    def read_queries(self, queries: Sequence[Query]) -> Batch:
        return self._read(queries, self.query_columns)

    def read_items(self, items: Sequence[Item]) -> Batch:
        return self._read(items, self.item_columns)

    def query_vectors(self, batch: Batch) -> Tensor:
        """(Q, W)."""
        features = batch.features
        if self.training and self._dropout:
            kept = torch.rand(len(features), self._groups) >= self._dropout
            features = features * kept[:, self._members]
        return self._vectors(self.query, batch, features)

    def item_vectors(self, batch: Batch) -> Tensor:
        """(I, W)."""
        return self._vectors(self.item, batch, batch.features)

    def scores(self, queries: Tensor, items: Tensor) -> Tensor:
        """(Q, I) of vectors (Q, W) and (I, W)."""
        return self.scale * queries @ items.T

    def _vectors(self, tower: Tower, batch: Batch, features: Tensor) -> Tensor:
        grams = self.text({"input_ids": batch.ids, "weights": batch.weights})
        text = torch.cat([nn.functional.normalize(grams, dim=-1), batch.meaning], dim=-1)
        vectors: Tensor = tower(text, features)
        return vectors

    def _read(
        self, rows: Sequence[Query] | Sequence[Item], columns: Sequence[FeatureColumn]
    ) -> Batch:
        tokens = self.text.tokenize([row.text for row in rows])
        features = standardised([row.features for row in rows], columns)
        meaning = torch.zeros(len(rows), 0)
        if self.meaning is not None:
            meaning = self.meaning.of([row.sentences for row in rows])
        return Batch(tokens["input_ids"], tokens["weights"], features, meaning)
