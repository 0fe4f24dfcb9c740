"""What a job tells of itself, on the way and at its end: a `Progress` that also records figures."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from persona_ray.progress import Progress, Stage
from persona_ray.watch import catalogue
from persona_ray.watch.instruments import Instrument, Instruments

_SPEED = "_per_s"


class JobWatch:
    """The progress of one job, `stage`, that is shown by `progress` and told to `sinks`."""

    def __init__(self, stage: str, progress: Progress, sinks: Sequence[Instruments]) -> None:
        self._stage = stage
        self._progress = progress
        self._sinks = sinks
        # Clocks are set while jobs run.
        self._began = time.monotonic()

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Stage]:
        """A stage of the job: `part` of its figures."""
        with self._progress.stage(name, total) as shown:
            yield _WatchedStage(self, name, total, shown)

    def record(self, instrument: Instrument, value: float, **labels: str) -> None:
        for sink in self._sinks:
            sink.record(instrument, value, labels)

    def began(self) -> None:
        self._mine(catalogue.JOB_RUNNING, 1)
        self._mine(catalogue.JOB_TOLD, time.time())

    def stopped(self) -> None:
        """By a person or a signal: neither well nor ill."""
        self._mine(catalogue.JOB_RUNNING, 0)
        self._mine(catalogue.JOB_TOLD, time.time())

    def succeeded(self) -> None:
        self.stopped()
        self._mine(catalogue.JOB_SUCCESS, time.time())
        self._mine(catalogue.JOB_DURATION, time.monotonic() - self._began)

    def failed(self) -> None:
        self.stopped()
        self._mine(catalogue.JOB_FAILURE, time.time())

    def checkpoint(self, newest: Path | None) -> None:
        """The newest one of a run; None: there is none yet."""
        # A newer one may take its place just now.
        with suppress(FileNotFoundError):
            if newest is not None:
                self._mine(catalogue.JOB_CHECKPOINT, newest.stat().st_mtime)

    def advanced(
        self, part: str, n: float, share: float | None, figures: Mapping[str, float]
    ) -> None:
        """`n` more steps of `part`; `share`: of all there are, None where that is not known."""
        own = {"stage": self._stage, "part": part}
        self._mine(catalogue.JOB_RUNNING, 1)
        self._mine(catalogue.JOB_TOLD, time.time())
        self.record(catalogue.JOB_STEPS, n, **own)
        if share is not None:
            self.record(catalogue.JOB_PROGRESS, share, **own)
        for name, value in figures.items():
            if name.endswith(_SPEED):
                unit = name.removesuffix(_SPEED)
                self.record(catalogue.JOB_SPEED, value, **own, unit=unit)
            elif name == "loss":
                self.record(catalogue.JOB_LOSS, value, **own)
            elif name in ("accuracy", "dev_accuracy"):
                self.record(catalogue.JOB_ACCURACY, value, **own)
            elif name == "utilisation":
                self.record(catalogue.JOB_UTILISATION, value, **own)

    def _mine(self, instrument: Instrument, value: float) -> None:
        self.record(instrument, value, stage=self._stage)


class _WatchedStage:
    def __init__(self, job: JobWatch, part: str, total: float | None, shown: Stage) -> None:
        self._job = job
        self._part = part
        self._total = total
        self._shown = shown
        self._done = 0.0

    def advance(self, n: float = 1, **figures: float) -> None:
        self._done += n
        self._shown.advance(n, **figures)
        share = min(1.0, self._done / self._total) if self._total else None
        # A counter takes nothing below zero, whatever a stage that went back says.
        self._job.advanced(self._part, max(0.0, n), share, figures)
