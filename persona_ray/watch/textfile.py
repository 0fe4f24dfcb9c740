"""Figures of jobs as files in Prometheus' text format: `metrics/STAGE.prom` of the workspace.

Node exporter's textfile collector reads the folder; a service of the same workspace tells them at
its /metrics, too. A job is no service: nobody may look while it runs, and what counts most is told
when it is over.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.files import write_whole
from persona_ray.watch.instruments import Instrument, PrometheusInstruments

if TYPE_CHECKING:
    from prometheus_client import Metric

FOLDER = "metrics"
_WRITE_EVERY_S = 5.0
_log = logging.getLogger(__name__)


def file_of(folder: Path, stage: str) -> Path:
    """`corpus build` -> corpus-build.prom"""
    return folder / (re.sub(r"[^a-z0-9]+", "-", stage.lower()).strip("-") + ".prom")


class TextFile:
    """Figures of one stage in one file: written whole, a few seconds after they came at the latest.

    A disk that cannot be written costs the figures, and never the job: it is warned of once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # None at zero: another stage may tell it.
        self._own = PrometheusInstruments()
        # Callbacks of trials and of progress come from several threads.
        self._lock = threading.Lock()
        # Of an earlier run: told until this one tells anything of the same figure.
        self._earlier: dict[str, Instrument] = {}
        self._written_at = 0.0
        self._later: threading.Timer | None = None
        self._warned = False

    def remember(self, gauges: Iterable[Instrument]) -> None:
        """What the file has of these stays until something new is recorded of them."""
        known = {one.name: one for one in gauges}
        with self._lock:
            for family in _families(self._path):
                for sample in family.samples:
                    if (one := known.get(sample.name)) is not None:
                        self._own.record(one, sample.value, sample.labels)
                        self._earlier[one.name] = one

    def drop(self, gauges: Iterable[Instrument]) -> None:
        """What is only remembered of these goes."""
        with self._lock:
            for one in gauges:
                self._replace(one)

    def _replace(self, one: Instrument) -> None:
        if self._earlier.pop(one.name, None) is not None:
            self._own.forget(one)

    def record(self, instrument: Instrument, value: float, labels: Mapping[str, str]) -> None:
        with self._lock:
            self._replace(instrument)
            self._own.record(instrument, value, labels)
            wait_s = self._written_at + _WRITE_EVERY_S - time.monotonic()
            if wait_s <= 0:
                self._write()
            elif self._later is None:
                # Nothing may come after it for hours.
                self._later = threading.Timer(wait_s, self.write)
                self._later.daemon = True
                self._later.start()

    def write(self) -> None:
        with self._lock:
            self._write()

    def _write(self) -> None:
        self._written_at = time.monotonic()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._path, self._own.text().decode())
        except OSError as error:
            if not self._warned:
                self._warned = True
                _log.warning("%s cannot be written: %s", self._path, error.strerror)


class JobFiles:
    """All files of a folder as one of prometheus_client's collectors, each figure told once.

    A file that cannot be read is left out: figures of the service must not hang on it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        for file in sorted(self._folder.glob("*.prom")):
            for family in _families(file):
                if family.name in merged:
                    merged[family.name].samples.extend(family.samples)
                else:
                    merged[family.name] = family
        return merged.values()

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is read."""
        return ()


def values(path: Path, name: str) -> dict[str, float]:
    """Of a figure that was written to `path`, by its labels' values joined with commas; empty
    where there is none."""
    return {
        ",".join(sample.labels.values()): sample.value
        for family in _families(path)
        for sample in family.samples
        if sample.name == name
    }


def _families(path: Path) -> list[Metric]:
    from prometheus_client.parser import text_string_to_metric_families

    try:
        return list(text_string_to_metric_families(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return []
