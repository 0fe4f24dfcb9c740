"""MLflow: one run for each training run, written beside the training and never in its way."""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from persona_ray.config import RunConfig
from persona_ray.files import write_whole
from persona_ray.launch.tracking.description import environment, flatten, source_tags
from persona_ray.launch.tracking.place import TrackingStore, local_database, open_store
from persona_ray.launch.tracking.tracker import Child, End, Item, Point, Text, Tracker, Untracked
from persona_ray.watch.logs import Value, within

OFF = "off"
# In the folder of a run's checkpoints, and with them gone once the run is over.
RUN_FILE = "mlflow-run.json"
# With each run: what it was run by and on.
ENVIRONMENT = "environment.json"
# Points are collected this long: one by one they cost 26 ms each.
_COLLECT_S = 5.0
# A run that is over waits so long for its last points to be written.
_LAST_WRITE_S = 60.0
# More for each item that waits: a run below it takes a second to make.
_CHILD_S = 3.0
# MLflow's own limits of one batch.
_BATCH_METRICS, _BATCH_PARAMETERS = 1000, 100
# MLflow's own tag, by which its page shows a run below another; it lists so many at a time.
_PARENT, _CHILDREN = "mlflow.parentRunId", 10_000


def check_tracking(config: RunConfig) -> None:
    """Raises TrackingError for a server or database elsewhere that cannot be reached: before data
    are read. Nothing is created."""
    url = config.tracking.url
    if url and url != OFF and not url.startswith("sqlite"):
        open_store(config)


def has_store(config: RunConfig) -> bool:
    """Whether there is one to ask. A workspace that nothing was tracked in has none yet: asking
    would make it, which takes seconds, and it would be empty."""
    url = config.tracking.url
    return url != OFF and (bool(url) or local_database(config).is_file())


@contextmanager
def tracked(
    config: RunConfig,
    stage: str,
    folder: Path,
    parameters: Mapping[str, BaseModel],
    tags: Mapping[str, str],
    parent: str = "",
) -> Iterator[Tracker]:
    """One MLflow run, named `stage`, that ends with the block; below the run `parent`, if given.

    `folder` holds the run's checkpoints: while it stands, a run that was killed, stopped or failed
    is continued by the next block with the same folder. `parameters`: sections of the
    configuration by their dotted names; none of them may hold a password. `tags` get the prefix
    `persona_ray.`. Raises TrackingError before anything is trained where the store or server
    cannot be reached; what goes wrong later is told once and costs the run nothing but its curves.
    """
    if config.tracking.url == OFF:
        yield Untracked()
        return
    store = open_store(config)
    folder.mkdir(parents=True, exist_ok=True)
    with within() as logged:
        writer = _Writer(store, stage, folder, flatten(parameters), tags, parent, logged)
        try:
            yield writer
        except BaseException as error:
            writer.close("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        writer.close("FINISHED")


def mlflow_client(store: TrackingStore) -> Any:
    """MLflow's client of runs and registered models, silent. Its import takes seconds."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store.url, registry_uri=store.url)


def create_run(client: Any, store: TrackingStore, stage: str, tags: Mapping[str, str]) -> str:
    """A run of the store's experiment, which is made where it is absent; its id."""
    found = client.get_experiment_by_name(store.experiment)
    if found is None:
        place = None if store.artifacts is None else store.artifacts.as_uri()
        experiment = client.create_experiment(store.experiment, artifact_location=place)
    else:
        experiment = found.experiment_id
    tags = {"persona_ray.stage": stage, **tags, **source_tags()}
    return str(client.create_run(experiment, run_name=stage, tags=tags).info.run_id)


def log_rows(
    client: Any,
    run_id: str,
    parameters: Mapping[str, str] | None = None,
    points: Sequence[tuple[str, float, int, int]] = (),
) -> None:
    """Parameters, and points of curves (name, value, at_ms, step), in batches that MLflow takes."""
    from mlflow.entities import Metric, Param

    params = [Param(name, value) for name, value in (parameters or {}).items()]
    for part in _parts(params, _BATCH_PARAMETERS):
        client.log_batch(run_id, params=part)
    metrics = [Metric(name, value, at_ms, step) for name, value, at_ms, step in points]
    for part in _parts(metrics, _BATCH_METRICS):
        client.log_batch(run_id, metrics=part)


class _Writer:
    """A thread that does all of MLflow: import and tables cost seconds, a server may be slow."""

    def __init__(
        self,
        store: TrackingStore,
        stage: str,
        folder: Path,
        parameters: Mapping[str, str],
        tags: Mapping[str, str],
        parent: str,
        logged: MutableMapping[str, Value],
    ) -> None:
        """`logged`: fields of every line of the log, which are told the run's id."""
        self._logged = logged
        self._store = store
        self._stage = stage
        self._folder = folder
        self._parameters = parameters
        self._tags = {f"persona_ray.{name}": value for name, value in tags.items()}
        if parent:
            self._tags[_PARENT] = parent
        self._items: queue.SimpleQueue[Item | End] = queue.SimpleQueue()
        # Begins with the first point: by then nobody else is importing or migrating a database.
        self._thread = threading.Thread(target=self._write, name="mlflow", daemon=True)
        self._starting = threading.Lock()
        self._warned = False
        self._client: Any = None
        self._run_id = ""
        self._told = -1
        self._children: set[str] = set()

    @property
    def run_id(self) -> str:
        return self._run_id

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        self._put(Point(step, time.time_ns() // 1_000_000, dict(values)))

    def text(self, name: str, content: str) -> None:
        self._put(Text(name, content))

    def child(
        self, name: str, parameters: Mapping[str, str], points: Sequence[Mapping[str, float]]
    ) -> None:
        self._put(Child(name, time.time_ns() // 1_000_000, dict(parameters), tuple(points)))

    def close(self, status: str) -> None:
        self._put(End(status))
        patience_s = _LAST_WRITE_S + _CHILD_S * self._items.qsize()
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._warn(f"no answer for {patience_s:.0f} s")

    def _put(self, item: Item | End) -> None:
        self._items.put(item)
        with self._starting:
            if self._thread.ident is None:
                self._thread.start()

    def _write(self) -> None:
        waiting: list[Item] = []
        status = ""
        while not status:
            status = self._collect(waiting)
            try:
                if self._client is None:
                    self._begin()
                self._send(waiting)
                if status:
                    self._client.set_terminated(self._run_id, status=status)
            except Exception as error:  # whatever fails here must not end hours of training
                self._warn(str(error) or type(error).__name__)
            else:
                waiting.clear()

    def _collect(self, waiting: list[Item]) -> str:
        """Wait for something to write; the run's last status once it is over."""
        until = time.monotonic() + _COLLECT_S
        while True:
            try:
                item = self._items.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                if waiting:
                    return ""
                until = time.monotonic() + _COLLECT_S
                continue
            if isinstance(item, End):
                return item.status
            waiting.append(item)

    def _begin(self) -> None:
        """Connect, and create the run or continue the one noted in the folder."""
        client = mlflow_client(self._store)
        self._run_id = self._continued(client) or self._created(client)
        self._logged["run_id"] = self._run_id
        self._client = client

    def _created(self, client: Any) -> str:
        run_id = create_run(client, self._store, self._stage, self._tags)
        log_rows(client, run_id, self._parameters)
        if self._folder.is_dir():
            note = json.dumps({"store": self._store.shown, "run_id": run_id})
            write_whole(self._folder / RUN_FILE, note)
        client.log_text(run_id, environment(), ENVIRONMENT)
        return run_id

    def _continued(self, client: Any) -> str:
        """The run noted in the folder if it ended before its time, else empty."""
        from mlflow.exceptions import MlflowException

        try:
            note = json.loads((self._folder / RUN_FILE).read_text(encoding="utf-8"))
            if note["store"] != self._store.shown:
                return ""
            run_id = str(note["run_id"])
            run = client.get_run(run_id)
        except (OSError, ValueError, KeyError, TypeError, MlflowException):
            return ""
        if run.info.status == "FINISHED" or run.info.lifecycle_stage != "active":
            return ""
        client.update_run(run_id, status="RUNNING")
        below = f"tags.`{_PARENT}` = '{run_id}'"
        for child in client.search_runs([run.info.experiment_id], below, max_results=_CHILDREN):
            if child.info.status == "FINISHED":
                self._children.add(child.info.run_name)
        for name in run.data.metrics:
            steps = [metric.step for metric in client.get_metric_history(run_id, name)]
            self._told = max(self._told, *steps)
        # A parameter cannot change in MLflow; another number of workers stands as a tag.
        for name, value in self._parameters.items():
            if run.data.params.get(name) != value:
                client.set_tag(run_id, f"persona_ray.continued.{name}", value)
        return run_id

    def _send(self, waiting: Sequence[Item]) -> None:
        new = [item for item in waiting if isinstance(item, Point) and item.step > self._told]
        points = [
            (name, float(value), item.at_ms, item.step)
            for item in new
            for name, value in item.values.items()
        ]
        log_rows(self._client, self._run_id, points=points)
        self._told = max([self._told, *(item.step for item in new)])
        for item in waiting:
            if isinstance(item, Text):
                self._client.log_text(self._run_id, item.content, item.name)
            elif isinstance(item, Child) and item.name not in self._children:
                self._add_child(item)

    def _add_child(self, child: Child) -> None:
        tags = {**self._tags, _PARENT: self._run_id, "persona_ray.stage": self._stage}
        run_id = create_run(self._client, self._store, child.name, tags)
        points = [
            (name, float(value), child.at_ms, step)
            for step, values in enumerate(child.points, start=1)
            for name, value in values.items()
        ]
        log_rows(self._client, run_id, child.parameters, points)
        self._client.set_terminated(run_id)
        self._children.add(child.name)

    def _warn(self, reason: str) -> None:
        if not self._warned:
            self._warned = True
            logging.getLogger(__name__).warning(
                "MLflow at %s fails (%s): training goes on, its curves may have gaps there",
                self._store.shown,
                " ".join(reason.split())[:300],
            )


def _parts(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
