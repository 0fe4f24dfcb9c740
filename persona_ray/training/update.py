"""One update of the weights over all workers, whatever is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from persona_ray.errors import TrainingError
from persona_ray.training.agreement import Agreement
from persona_ray.training.context import Worker
from persona_ray.training.engine.base import Engine, Outputs
from persona_ray.training.feed import Ready, to_device


@dataclass(frozen=True, slots=True)
class Outcome:
    """Sums over all ranks; `losses`, `correct` and `counts` by term. `size` of the items and what
    they took with padding. `stop`: some rank was asked to stop."""

    losses: dict[str, float]
    correct: dict[str, float]
    counts: dict[str, float]
    size: float
    padded: float
    norm: float
    stop: bool


@dataclass(frozen=True, slots=True)
class Updater:
    """The loss of an update is the sum over its terms of weight x summed loss / count, over all
    micro-batches and ranks: it does not depend on how the items are dealt. `weights` of the terms;
    `name` of the run, for messages."""

    name: str
    weights: Mapping[str, float]
    seed: int
    engine: Engine
    agreement: Agreement
    worker: Worker

    def run(self, ready: Ready, rates: Mapping[str, float], stop: bool) -> Outcome:
        """Raises TrainingError, on every rank alike, for a loss or gradient that is no number.
        `stop`: this rank was asked to."""
        terms = tuple(self.weights)
        mine = [*(ready.count(term) for term in terms), ready.size, ready.padded]
        totals = self.agreement.total([*mine, float(stop)])
        counts = dict(zip(terms, totals.tolist(), strict=False))
        size, padded, stopping = totals[len(terms) :].tolist()
        seed_update(self.seed, ready.number, self.worker.rank, self.worker.device)
        shares = {term: self.weights[term] / max(1.0, counts[term]) for term in terms}
        outputs = [self._accumulate(ready, at, shares) for at in range(len(ready.portions))]
        norm = self.engine.step(rates)
        losses, correct = self._sums(ready, outputs)
        if not all(math.isfinite(value) for value in (*losses.values(), norm)):
            self._refuse(ready, outputs)
        return Outcome(losses, correct, counts, size, padded, norm, stopping > 0)

    def _accumulate(self, ready: Ready, at: int, shares: Mapping[str, float]) -> Outputs:
        portion, batch = ready.portions[at], ready.batches[at]

        def loss(outputs: Outputs) -> Tensor:
            weighted = [share * outputs[f"{term}.loss"] for term, share in shares.items()]
            return torch.stack(weighted).sum() * (1.0 if portion.counts else 0.0)

        last = at == len(ready.portions) - 1
        outputs = self.engine.accumulate(to_device(batch, self.worker.device), loss, last)
        return {name: value.detach() for name, value in outputs.items()}

    def _sums(
        self, ready: Ready, outputs: list[Outputs]
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Losses and right answers by term: one copy from the device and one sum over the ranks
        for all of them."""
        counted = [
            output for output, portion in zip(outputs, ready.portions, strict=True)
            if portion.counts
        ]  # fmt: skip
        # Sorted, so that every rank sums the same things in the same places.
        wanted = {f"{term}.{kind}" for term in self.weights for kind in ("loss", "correct")}
        names = sorted(wanted & outputs[0].keys())
        values = [0.0] * len(names)
        if counted:
            stacked = torch.stack(
                [torch.stack([output[name].double() for name in names]) for output in counted]
            )
            values = stacked.sum(0).tolist()
        totals = dict(zip(names, self.agreement.total(values).tolist(), strict=True))
        losses = {term: totals[f"{term}.loss"] for term in self.weights}
        return losses, {
            term: totals[f"{term}.correct"] for term in self.weights if f"{term}.correct" in totals
        }

    def _refuse(self, ready: Ready, outputs: list[Outputs]) -> None:
        guilty = [
            position
            for portion, output in zip(ready.portions, outputs, strict=True)
            if not all(math.isfinite(output[f"{term}.loss"]) for term in self.weights)
            for position in portion.positions
        ]
        everyone = [position for portion in ready.portions for position in portion.positions]
        named = sorted(set().union(*self.agreement.gathered(guilty)))
        among = sorted(set().union(*self.agreement.gathered(everyone)))
        what = "the loss" if named else "the gradient"
        shown = ", ".join(str(position) for position in (named or among)[:20])
        raise TrainingError(
            f"{self.name}: {what} of update {ready.number} is not finite, items {shown}: look at "
            "these items (numbered from 0 in the order of the corpus); if they are sound, start "
            "anew (--fresh) with a lower learning rate or a warm-up"
        )


def seed_update(seed: int, update: int, rank: int, device: torch.device) -> None:
    """Dropout is a function of (seed, update, rank): a run that goes on draws what an undisturbed
    one would, and no random state has to be kept."""
    state = int(np.random.SeedSequence((seed, update, rank)).generate_state(1)[0])
    # Not torch.manual_seed: in a process without a GPU it keeps a stack trace of every call for
    # each kind of accelerator there might be.
    torch.default_generator.manual_seed(state)
    if device.type == "cuda":
        torch.cuda.manual_seed(state)
