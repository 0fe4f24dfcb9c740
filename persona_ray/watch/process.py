"""What a process that is watched does first, and the stages of a job."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from persona_ray.progress import LINES
from persona_ray.watch import spans
from persona_ray.watch.logs import (
    configure_logs,
    log_event,
    log_exception,
    structured,
    within,
)

if TYPE_CHECKING:
    from persona_ray.config.watching import WatchingConfig

SERVICE, JOBS = "persona-ray", "persona-ray-jobs"


def watch_service(config: WatchingConfig) -> None:
    """This process is one of a service's: structured logs, spans where they are asked for."""
    if not structured():
        configure_logs()
    spans.set_up(config.traces, SERVICE)


def watch_job(config: WatchingConfig) -> None:
    """This process runs a command or job: logs and spans as they are asked for."""
    if config.logs == "json" and not structured():
        configure_logs()
        logging.getLogger(LINES).setLevel(logging.INFO)
    spans.set_up(config.traces, JOBS)


@contextmanager
def watched(config: WatchingConfig, stage: str) -> Iterator[None]:
    """A stage of a job, or a job of stages: a span, whose trace id its logs have. What it begins
    with and how it ends is logged, where logs are structured."""
    watch_job(config)
    with spans.work(stage), within(stage=stage):
        if not structured():
            yield
            return
        begun = time.perf_counter()
        log_event("begun")
        try:
            yield
        except BaseException as error:
            log_exception("failed", error, seconds=round(time.perf_counter() - begun, 3))
            raise
        log_event("ended", seconds=round(time.perf_counter() - begun, 3))
