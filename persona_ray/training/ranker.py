"""Pairs of what was said and what was answered -> the two towers.

A plain loop: some thousand pairs take a minute on one core, so that a run that was broken off is
begun again.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from persona_ray.config.learning import GramsConfig
from persona_ray.errors import TrainingError
from persona_ray.models.grams import gram_encoder
from persona_ray.models.ranker.columns import columns_of
from persona_ray.models.ranker.meaning import Meaning
from persona_ray.models.ranker.network import Batch, TwoTowers
from persona_ray.objectives.ranking import contrastive, outcome

if TYPE_CHECKING:
    from torch import Tensor

    from persona_ray.config.assist import RankerConfig
    from persona_ray.models.ranker.records import Item, Pair, Reply

MAX_CHARACTERS = 400
# What the turns before say beside the sentence, and a script's text beside what it answers.
_LATER_WEIGHT = 0.5
_LATER_GRAM = 2
# Different lines that an n-gram must stand in, rows that a feature must.
_LEAST = 2
_WEIGHT_DECAY = 0.01
# Epochs without a smaller loss of the dev pairs after which training ends.
_PATIENCE = 4


@dataclass(frozen=True, slots=True)
class RankerEpoch:
    """Mean losses; `dev` is the cross-entropy over all scripts of the dev pairs that went well, NaN
    where there are none."""

    number: int
    contrastive: float
    outcome: float
    dev: float


@dataclass(frozen=True, slots=True)
class _Table:
    """Pairs as tensors: `keys` (pairs,) are places among the items, `scores` (pairs,) 0 to 1."""

    queries: Batch
    keys: Tensor
    scores: Tensor
    well: Tensor


@dataclass(frozen=True, slots=True)
class _Replies:
    """Free words as tensors: `keys` (replies,) are places among `items`, `shares` (items,) how
    many of the replies each is."""

    queries: Batch
    keys: Tensor
    items: Batch
    shares: Tensor


@dataclass(frozen=True, slots=True)
class _Shares:
    """(I,) share of the pairs of each item; (I, I) which are hard negatives of which."""

    frequency: Tensor
    hard: Tensor


def fit_ranker(
    train: Sequence[Pair],
    dev: Sequence[Pair],
    items: Sequence[Item],
    config: RankerConfig,
    threshold: float,
    tell: Callable[[RankerEpoch], None] = lambda _: None,
    replies: Sequence[Reply] = (),
) -> tuple[TwoTowers, tuple[RankerEpoch, ...]]:
    """The towers (in eval mode) of the epoch with the smallest loss of the dev pairs, and all
    epochs. Pairs whose script is none of `items` are left out.

    `threshold`: the score, 0 to 100, from which a pair went well. `replies` add a loss of their
    own, `config.replies` times that of the pairs: each against those of its batch. They add
    no n-gram to those that are read. The same input gives the same towers. Raises TrainingError
    where nothing can be learned.
    """
    known = {item.key: place for place, item in enumerate(items)}
    train = [pair for pair in train if pair.key in known]
    dev = [pair for pair in dev if pair.key in known and pair.score >= threshold]
    if len({pair.key for pair in train if pair.score >= threshold}) < 2:
        raise TrainingError(
            f"of {len(train)} pairs with a script of the library fewer than two scripts scored "
            f"{threshold:g} or more: give more conversations, or the library that they were held by"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        # One alone has none beside it to be told from.
        free = replies if config.replies and len(replies) > 1 else ()
        model = _untrained(train, items, config)
        tables = [_table(model, pairs, known, threshold) for pairs in (train, dev)]
        run = _Run(model, tables[0], items, _replies(model, free), config)
        return _fit(run, tables[1], config.epochs, tell)


def _untrained(train: Sequence[Pair], items: Sequence[Item], config: RankerConfig) -> TwoTowers:
    grams = GramsConfig(
        first=config.longest_gram,
        later=_LATER_GRAM,
        later_weight=_LATER_WEIGHT,
        least=_LEAST,
        features=config.width,
        dropout=config.gram_dropout,
    )
    texts = [*(pair.query.text for pair in train), *(item.text for item in items)]
    return TwoTowers(
        gram_encoder(grams, texts, MAX_CHARACTERS),
        columns_of([pair.query.features for pair in train], _LEAST),
        columns_of([item.features for item in items]),
        config.hidden,
        config.temperature,
        Meaning(keep=True) if config.meaning else None,
        config.unknown,
    )


def _table(
    model: TwoTowers, pairs: Sequence[Pair], known: dict[str, int], threshold: float
) -> _Table:
    scores = torch.tensor([pair.score / 100 for pair in pairs])
    return _Table(
        queries=model.read_queries([pair.query for pair in pairs]),
        keys=torch.tensor([known[pair.key] for pair in pairs], dtype=torch.long),
        scores=scores,
        well=scores >= threshold / 100,
    )


def _replies(model: TwoTowers, replies: Sequence[Reply]) -> _Replies | None:
    if not replies:
        return None
    items = {reply.item.key: reply.item for reply in replies}
    places = {key: place for place, key in enumerate(items)}
    keys = torch.tensor([places[reply.item.key] for reply in replies], dtype=torch.long)
    return _Replies(
        queries=model.read_queries([reply.query for reply in replies]),
        keys=keys,
        items=model.read_items(list(items.values())),
        shares=torch.bincount(keys) / len(keys),
    )


class _Run:
    """Model, pairs of training and what they are compared with, update by update."""

    def __init__(
        self,
        model: TwoTowers,
        table: _Table,
        items: Sequence[Item],
        replies: _Replies | None,
        config: RankerConfig,
    ) -> None:
        self.model = model
        self.items = model.read_items(items)
        self._table = table
        self._shares = _shares(table, items)
        self._config = config
        self._random = torch.Generator().manual_seed(config.seed)
        self._replies = replies
        self._turns = _endless(len(replies.keys), config.batch, config.seed) if replies else None
        # Slope (its logarithm) and offset of what a score says of the outcome.
        self._judged = torch.nn.Parameter(torch.zeros(2))
        self._optimiser = torch.optim.AdamW(
            [self._judged, *model.parameters()],
            lr=config.learning_rate,
            weight_decay=_WEIGHT_DECAY,
        )

    def epoch(self) -> tuple[float, float]:
        """Mean contrastive and outcome loss of a pass over the pairs."""
        self.model.train()
        sums, batches = [0.0, 0.0], 0
        for rows in _batches(len(self._table.keys), self._config.batch, self._random):
            near, came = self._losses(rows)
            self._optimiser.zero_grad()
            loss = near + self._config.outcome_weight * came
            if self._replies is not None and self._turns is not None:
                loss = loss + self._config.replies * self._reply_loss(self._replies, self._turns)
            torch.autograd.backward(loss)
            self._optimiser.step()
            sums = [sums[0] + near.item(), sums[1] + came.item()]
            batches += 1
        return sums[0] / batches, sums[1] / batches

    def _losses(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        model, table = self.model, self._table
        keys, well = table.keys[rows], table.well[rows]
        met, expected = _met(keys, self._shares, self._config.hard_negatives, self._random)
        columns = torch.unique(torch.cat([keys, met.any(dim=0).nonzero()[:, 0]]))
        queries = model.query_vectors(table.queries[rows])
        scores = model.scores(queries, model.item_vectors(self.items[columns]))
        own = torch.searchsorted(columns, keys)
        meetings = (met / expected.clamp(min=1e-12))[:, columns]
        slope, offset = self._judged[0].exp(), self._judged[1]
        tried = slope * scores.gather(1, own[:, None])[:, 0] + offset
        return (
            contrastive(scores, own, meetings, table.scores[rows] * well),
            outcome(tried, well.float()),
        )

    def _reply_loss(self, replies: _Replies, turns: Iterator[Tensor]) -> Tensor:
        """Of the next batch (0-d); the same words twice are no negatives of each other."""
        rows, model = next(turns), self.model
        columns, own, counts = torch.unique(
            replies.keys[rows], return_inverse=True, return_counts=True
        )
        # The longest of all replies is many times as long as those of most batches.
        queries = model.query_vectors(replies.queries[rows].trimmed())
        scores = model.scores(queries, model.item_vectors(replies.items[columns].trimmed()))
        meetings = counts / ((len(rows) - 1) * replies.shares[columns])
        return contrastive(scores, own, meetings.expand_as(scores), torch.ones(len(rows)))


def _fit(
    run: _Run, dev: _Table, epochs: int, tell: Callable[[RankerEpoch], None]
) -> tuple[TwoTowers, tuple[RankerEpoch, ...]]:
    done: list[RankerEpoch] = []
    best, kept = 0, run.model.state_dict()
    for number in range(1, epochs + 1):
        done.append(RankerEpoch(number, *run.epoch(), dev_loss(run.model, dev, run.items)))
        tell(done[-1])
        # Without dev pairs nothing says when to stop: the last epoch is as good as any.
        if not best or not done[-1].dev >= done[best - 1].dev:
            best, kept = number, copy.deepcopy(run.model.state_dict())
        elif number - best >= _PATIENCE:
            break
    run.model.load_state_dict(kept)
    return run.model.eval(), tuple(done)


def _met(
    keys: Tensor, shares: _Shares, hard_negatives: int, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(Q, I) each: how often an item is met as a negative of a query, and how often that is to be
    expected: by the batch's other pairs, and by hard negatives drawn evenly."""
    items = len(shares.frequency)
    counts = torch.bincount(keys, minlength=items)
    met = counts.expand(len(keys), items).clone().float()
    met[torch.arange(len(keys)), keys] -= 1
    expected = (len(keys) - 1) * shares.frequency.expand(len(keys), items).clone()
    hard = shares.hard[keys]
    available = hard.sum(dim=1, keepdim=True)
    order = (torch.rand(hard.shape, generator=random) * hard).argsort(dim=1, descending=True)
    taken = torch.zeros_like(met)
    taken.scatter_(1, order[:, :hard_negatives], 1.0)
    met += taken * hard
    expected += hard * (hard_negatives / available.clamp(min=1)).clamp(max=1)
    return met, expected


def _shares(train: _Table, items: Sequence[Item]) -> _Shares:
    """Hard negatives say something else about the same topic of the same product."""
    counts = torch.bincount(train.keys, minlength=len(items)).float()
    about = [
        frozenset(name for name in item.features if not name.startswith("style=")) for item in items
    ]
    hard = torch.tensor(
        [
            [float(one == other and at != to) for to, other in enumerate(about)]
            for at, one in enumerate(about)
        ]
    )
    return _Shares(counts / counts.sum(), hard)


@torch.no_grad()
def dev_loss(model: TwoTowers, table: _Table, items: Batch) -> float:
    """Cross-entropy over all items of pairs that went well; NaN of none."""
    if not len(table.keys):
        return math.nan
    model.eval()
    scores = model.scores(model.query_vectors(table.queries), model.item_vectors(items))
    return float(torch.nn.functional.cross_entropy(scores, table.keys))


def _batches(pairs: int, size: int, random: torch.Generator) -> Iterator[Tensor]:
    order = torch.randperm(pairs, generator=random)
    for start in range(0, pairs, size):
        # Of one pair alone nothing is to be told apart.
        if pairs - start > 1:
            yield order[start : start + size]


def _endless(pairs: int, size: int, seed: int) -> Iterator[Tensor]:
    """Pass after pass, by a random state of its own: what scripts are met with stays the same."""
    random = torch.Generator().manual_seed(seed)
    while True:
        yield from _batches(pairs, size, random)
