"""Jobs as Prometheus sees them: a file in the workspace, and Ray's metrics besides.

Everything is told by the process that drives a job, where progress and curves arrive anyway.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.progress import Progress
from persona_ray.watch.catalogue import JOB_ENDS, JOB_RESULTS, JOBS
from persona_ray.watch.instruments import Instrument
from persona_ray.watch.jobs import JobWatch
from persona_ray.watch.textfile import FOLDER, TextFile, file_of

if TYPE_CHECKING:
    from persona_ray.watch.on_ray import RayInstruments


@contextmanager
def counted(config: RunConfig, stage: str, progress: Progress) -> Iterator[JobWatch]:
    """The job `stage` runs inside the block; progress that it reports to what is yielded is told.

    When it last ended well, or failed, is remembered from run to run; what it made, until a run
    ends well again.
    """
    file = TextFile(file_of(config.workspace / FOLDER, stage))
    file.remember((*JOB_ENDS, *JOB_RESULTS))
    job = JobWatch(stage, progress, (file, _OnRay()))
    job.began()
    try:
        yield job
        file.drop(JOB_RESULTS)
        job.succeeded()
    except Exception:
        job.failed()
        raise
    except BaseException:
        job.stopped()
        raise
    finally:
        file.write()


class _OnRay:
    """Ray's metrics, once this process belongs to a cluster."""

    def __init__(self) -> None:
        self._made: RayInstruments | None = None

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None:
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return
        if self._made is None:
            from persona_ray.watch.on_ray import RayInstruments

            self._made = RayInstruments(JOBS)
        self._made.record(instrument, value, labels)
