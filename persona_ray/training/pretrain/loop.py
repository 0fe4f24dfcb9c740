"""One update after the other, until the epochs are out or somebody asks to stop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from persona_ray.errors import TrainingError
from persona_ray.training.agreement import Agreement
from persona_ray.training.checkpoint import Progress, write_checkpoint
from persona_ray.training.engine.base import Engine, Outputs
from persona_ray.training.feed import Course, Feed, Ready, to_device
from persona_ray.training.pretrain.context import PretrainContext
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.meter import Meter, as_metrics
from persona_ray.training.pretrain.settings import PretrainSettings
from persona_ray.training.pretrain.throughput import Throughput


@dataclass(frozen=True, slots=True)
class Sums:
    """Of one update over all ranks; `losses` and `correct` by term."""

    losses: dict[str, float]
    correct: dict[str, float]


class Loop:
    def __init__(
        self,
        settings: PretrainSettings,
        weights: Mapping[str, float],
        identity: Mapping[str, object],
        course: Course,
        engine: Engine,
        agreement: Agreement,
        throughput: Throughput,
        context: PretrainContext,
        on_point: Callable[[CurvePoint], None],
    ) -> None:
        self._settings = settings
        self._weights = weights
        self._identity = identity
        self._course = course
        self._engine = engine
        self._agreement = agreement
        self._throughput = throughput
        self._context = context
        self._on_point = on_point

    def run(self, feed: Feed, done: Progress) -> tuple[CurvePoint, ...]:
        """The points of the whole run, those of `done` first."""
        settings, course = self._settings, self._course
        points, meter = list(done.points), Meter.of(done.meter)
        seconds, before = done.seconds, time.perf_counter()
        for ready in feed:
            rate = settings.rate(ready.number, course.updates)
            stop = self._update(ready, rate, meter)
            now = time.perf_counter()
            meter.seconds += now - before
            seconds, before = seconds + now - before, now
            end = ready.number == course.updates
            epoch = course.epoch(ready.number)
            point = meter.point(
                ready.number, epoch, rate, seconds, self._weights, self._throughput,
                self._context.world_size,
            )  # fmt: skip
            if end or ready.number % settings.log_updates == 0:
                points.append(point)
                meter = Meter()
                self._on_point(point)
            if end or stop or ready.number % settings.checkpoint_updates == 0:
                self._save(Progress(ready.number, seconds, tuple(points), meter.as_json()), point)
            if stop:
                break
        return tuple(points)

    def _update(self, ready: Ready, rate: float, meter: Meter) -> bool:
        """One update of the weights; whether any rank was asked to stop."""
        terms = tuple(self._weights)
        mine = [*(ready.count(term) for term in terms), ready.size, ready.padded]
        totals = self._agreement.total([*mine, float(self._context.stop_requested())])
        counts = dict(zip(terms, totals.tolist(), strict=False))
        size, padded, stop = totals[len(terms) :].tolist()
        seed_update(self._settings.seed, ready.number, self._context.rank)
        shares = {term: self._weights[term] / max(1.0, counts[term]) for term in terms}
        outputs = [self._accumulate(ready, at, shares) for at in range(len(ready.portions))]
        norm = self._engine.step(rate)
        sums = self._sums(ready, outputs)
        self._check(ready, outputs, sums, norm)
        meter.updates += 1
        meter.size += size
        meter.padded += padded
        meter.norms += norm
        for kept, new in (
            (meter.losses, sums.losses),
            (meter.correct, sums.correct),
            (meter.counts, counts),
        ):
            for term, value in new.items():
                kept[term] = kept.get(term, 0.0) + value
        return bool(stop > 0)

    def _accumulate(self, ready: Ready, at: int, shares: Mapping[str, float]) -> Outputs:
        portion, batch = ready.portions[at], ready.batches[at]

        def loss(outputs: Outputs) -> Tensor:
            weighted = [share * outputs[f"{term}.loss"] for term, share in shares.items()]
            return torch.stack(weighted).sum() * (1.0 if portion.counts else 0.0)

        last = at == len(ready.portions) - 1
        outputs = self._engine.accumulate(to_device(batch, self._context.device), loss, last)
        return {name: value.detach() for name, value in outputs.items()}

    def _sums(self, ready: Ready, outputs: list[Outputs]) -> Sums:
        """One copy from the device and one sum over the ranks for all terms."""
        counted = [
            output for output, portion in zip(outputs, ready.portions, strict=True)
            if portion.counts
        ]  # fmt: skip
        # Sorted, so that every rank sums the same things in the same places.
        wanted = {f"{term}.{kind}" for term in self._weights for kind in ("loss", "correct")}
        names = sorted(wanted & outputs[0].keys())
        values = [0.0] * len(names)
        if counted:
            stacked = torch.stack(
                [torch.stack([output[name].double() for name in names]) for output in counted]
            )
            values = stacked.sum(0).tolist()
        totals = dict(zip(names, self._agreement.total(values).tolist(), strict=True))
        return Sums(
            {term: totals[f"{term}.loss"] for term in self._weights},
            {
                term: totals[f"{term}.correct"]
                for term in self._weights
                if f"{term}.correct" in totals
            },
        )

    def _check(self, ready: Ready, outputs: list[Outputs], sums: Sums, norm: float) -> None:
        """Raises TrainingError, on every rank alike, for a loss or gradient that is no number."""
        losses = sums.losses.values()
        if all(math.isfinite(value) for value in (*losses, norm)):
            return
        guilty = [
            position
            for portion, output in zip(ready.portions, outputs, strict=True)
            if not all(math.isfinite(output[f"{term}.loss"]) for term in self._weights)
            for position in portion.positions
        ]
        everyone = [position for portion in ready.portions for position in portion.positions]
        named = sorted(set().union(*self._agreement.gathered(guilty)))
        among = sorted(set().union(*self._agreement.gathered(everyone)))
        what = "the loss" if named else "the gradient"
        shown = ", ".join(str(position) for position in (named or among)[:20])
        raise TrainingError(
            f"pretraining {self._settings.name}: {what} of update {ready.number} is not finite, "
            f"items {shown}: look at these items; if they are sound, lower learning_rate or set "
            "warmup_updates, and go on from the last checkpoint"
        )

    def _save(self, progress: Progress, point: CurvePoint) -> None:
        snapshot = self._engine.snapshot()
        if snapshot is None:
            self._context.save(as_metrics(point), None)
            return

        def write(folder: Path) -> None:
            write_checkpoint(folder, snapshot, progress, self._identity)

        self._context.save(as_metrics(point), write)


def seed_update(seed: int, update: int, rank: int) -> None:
    """Dropout is a function of (seed, update, rank): a run that goes on draws what an undisturbed
    one would, and no random state has to be kept."""
    torch.manual_seed(int(np.random.SeedSequence((seed, update, rank)).generate_state(1)[0]))
