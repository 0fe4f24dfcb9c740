"""What is kept beside a version's run: figures of its evaluation, and plots."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.errors import RegistryError
from persona_ray.launch.tracking.place import open_store
from persona_ray.launch.tracking.runs import mlflow_client
from persona_ray.launch.versions.registry import failures_named

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.launch.versions.records import Version

_PLOTS = "plots"
_NAME = re.compile(r"[A-Za-z0-9_-]+\.svg")
# Judged on customers who were held out; the rest of a run's figures are of its training.
_EVALUATED = "test_"


def figures(config: RunConfig, version: Version) -> dict[str, float]:
    """Of the evaluation; none where there was none. Raises TrackingError."""
    store = open_store(config)
    with failures_named(store):
        metrics = mlflow_client(store).get_run(version.run_id).data.metrics
    return {name: float(metrics[name]) for name in sorted(metrics) if name.startswith(_EVALUATED)}


def plots(config: RunConfig, version: Version) -> list[str]:
    """Names of the SVG documents. Raises TrackingError."""
    store = open_store(config)
    with failures_named(store):
        found = mlflow_client(store).list_artifacts(version.run_id, _PLOTS)
    names = (str(entry.path).rpartition("/")[2] for entry in found)
    return sorted(name for name in names if _NAME.fullmatch(name))


def plot(config: RunConfig, version: Version, name: str) -> bytes:
    """An SVG document. RegistryError where the version has none of that name."""
    if not _NAME.fullmatch(name) or name not in plots(config, version):
        raise RegistryError(f"{version} has no plot '{name}'")
    store = open_store(config)
    with tempfile.TemporaryDirectory() as folder, failures_named(store):
        client = mlflow_client(store)
        return Path(
            client.download_artifacts(version.run_id, f"{_PLOTS}/{name}", folder)
        ).read_bytes()
