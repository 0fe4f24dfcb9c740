"""One update after the other, until the epochs are out or somebody asks to stop."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from persona_ray.training.checkpoint import write_checkpoint
from persona_ray.training.context import TrainContext
from persona_ray.training.engine.base import Engine
from persona_ray.training.feed import Course, Feed
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.groups import DECAYING, OTHERS
from persona_ray.training.pretrain.meter import Meter, as_metrics
from persona_ray.training.pretrain.progress import Progress
from persona_ray.training.pretrain.settings import PretrainSettings
from persona_ray.training.pretrain.throughput import Throughput
from persona_ray.training.update import Updater


@dataclass(frozen=True, slots=True)
class Loop:
    """What a run goes round with. `weights` of the task's terms; `identity`: what a checkpoint says
    of the run."""

    settings: PretrainSettings
    weights: Mapping[str, float]
    identity: Mapping[str, object]
    course: Course
    engine: Engine
    updater: Updater
    throughput: Throughput
    context: TrainContext
    on_point: Callable[[CurvePoint], None]

    def run(self, feed: Feed, done: Progress) -> tuple[CurvePoint, ...]:
        """The points of the whole run, those of `done` first."""
        settings, course = self.settings, self.course
        points, meter = list(done.points), copy.deepcopy(done.meter)
        seconds, before = done.seconds, time.perf_counter()
        for ready in feed:
            rate = settings.rate(ready.number, course.updates)
            rates = {DECAYING: rate, OTHERS: rate}
            outcome = self.updater.run(ready, rates, self.context.stop_requested())
            meter.add(outcome)
            now = time.perf_counter()
            meter.seconds += now - before
            seconds, before = seconds + now - before, now
            end = ready.number == course.updates
            epoch = course.epoch(ready.number)
            point = meter.point(
                ready.number, epoch, rate, seconds, self.weights, self.throughput,
                self.context.world_size,
            )  # fmt: skip
            if end or ready.number % settings.log_updates == 0:
                points.append(point)
                meter = Meter()
                self.on_point(point)
            checkpoint = ready.number % settings.checkpoint_updates == 0
            if end or outcome.stop or checkpoint:
                # A copy: it is written while the sums grow.
                kept = copy.deepcopy(meter)
                self._save(Progress(ready.number, seconds, tuple(points), kept), point)
            if outcome.stop:
                break
        return tuple(points)

    def _save(self, progress: Progress, point: CurvePoint) -> None:
        snapshot = self.engine.snapshot()
        if snapshot is None:
            self.context.save(as_metrics(point), None)
            return

        def write(folder: Path) -> None:
            write_checkpoint(folder, snapshot, progress.as_json(), self.identity)

        self.context.save(as_metrics(point), write)
