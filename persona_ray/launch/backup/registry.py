"""Registered models as files, and back into any MLflow store, under the same numbers.

    registry/NAME/model.json            tags of the model; of each version tags, aliases and its run
    registry/NAME/3/bundle.json, ...    the bundle of version 3

Versions keep their numbers, because the history of the champion names them. Where numbers are
missing in between, versions are made and deleted again: MLflow counts by itself. Aliases come last:
a registry that is half there has no champion.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from persona_ray.config import RunConfig
from persona_ray.errors import BackupError, BundleError, RegistryError
from persona_ray.launch.backup.record import RegistryPart
from persona_ray.launch.storage.object_store import ObjectStore, StoredFile
from persona_ray.launch.tracking.place import TrackingStore, open_store
from persona_ray.launch.tracking.runs import create_run, log_rows, mlflow_client
from persona_ray.launch.versions.registry import ARTIFACT, PREFIX, Registry, failures_named

_DESCRIPTION = "model.json"

Keep = Callable[[str, Path], None]


@dataclass(frozen=True, slots=True)
class _Mlflow:
    client: Any
    store: TrackingStore


def keep_registry(config: RunConfig, scratch: Path, keep: Keep) -> RegistryPart:
    """Hand every file of every version of every model to `keep`, with its path in the backup.

    A version whose bundle is gone or damaged, or that others registered, is left out, and said to
    be. Raises TrackingError, RegistryError.
    """
    mlflow = _open(config)
    models: dict[str, tuple[int, ...]] = {}
    left_out: list[str] = []
    for name in model_names(config):
        registry = Registry.open(config, name)
        described: list[dict[str, Any]] = []
        for version in reversed(registry.versions()):
            if not version.digest:
                left_out.append(f"{version.uri}: persona-ray did not register it")
                continue
            try:
                folder = registry.fetch(version)
            except BundleError as error:
                left_out.append(f"{version.uri}: {error}")
                continue
            described.append(
                {
                    "number": version.number,
                    "aliases": list(version.aliases),
                    "tags": {f"{PREFIX}{key}": value for key, value in version.tags.items()},
                    "run": _run(mlflow, version.run_id),
                }
            )
            for file in sorted(folder.rglob("*")):
                if file.is_file():
                    inside = file.relative_to(folder).as_posix()
                    keep(f"registry/{name}/{version.number}/{inside}", file)
        with failures_named(mlflow.store):
            tags = dict(mlflow.client.get_registered_model(name).tags)
        whole = {"tags": tags, "versions": described}
        path = scratch / _DESCRIPTION
        path.write_text(json.dumps(whole, sort_keys=True, ensure_ascii=False), encoding="utf-8")
        keep(f"registry/{name}/{_DESCRIPTION}", path)
        models[name] = tuple(one["number"] for one in described)
    return RegistryPart(models, tuple(left_out))


def model_names(config: RunConfig) -> list[str]:
    """Of all registered models that are ours; none where nothing was registered."""
    mlflow = _open(config)
    found: list[str] = []
    token = ""
    with failures_named(mlflow.store):
        while True:
            page = mlflow.client.search_registered_models(page_token=token or None)
            found += [model.name for model in page]
            token = page.token or ""
            if not token:
                break
    return sorted(
        name
        for name in found
        if any("bundle" in version.tags for version in Registry.open(config, name).versions())
    )


def check_free(config: RunConfig, part: RegistryPart) -> None:
    """Raises RegistryError where a model of the backup has other versions than those that a
    restore which broke off would have left."""
    for name, numbers in part.models.items():
        there = {version.number for version in Registry.open(config, name).versions()}
        if there - set(numbers):
            raise RegistryError(
                f"the registry has versions of '{name}' that the backup has not "
                f"({', '.join(map(str, sorted(there - set(numbers))))}): name an empty one "
                "(tracking.url), or say --replace to give them up"
            )


def restore_model(
    config: RunConfig,
    name: str,
    place: ObjectStore,
    files: Mapping[str, StoredFile],
    scratch: Path,
    replace: bool,
) -> None:
    """Bring one model back from its files. Versions that are there already stay; with `replace`
    the model goes first. Raises RegistryError where a number has another bundle."""
    mlflow = _open(config)
    path = scratch / _DESCRIPTION
    place.get(files[_DESCRIPTION], path)
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
        versions = {int(one["number"]): one for one in whole["versions"]}
    except (ValueError, KeyError, TypeError):
        raise BackupError(f"registry/{name}/{_DESCRIPTION} is damaged") from None
    with failures_named(mlflow.store):
        if replace and _exists(mlflow, name):
            mlflow.client.delete_registered_model(name)
        if not _exists(mlflow, name):
            mlflow.client.create_registered_model(name, tags=whole["tags"])
    there = {version.number: version for version in Registry.open(config, name).versions()}
    for number in range(1, max(versions, default=0) + 1):
        one = versions.get(number)
        if number in there:
            same = one and there[number].digest == one["tags"].get(f"{PREFIX}bundle")
            if not same:
                raise RegistryError(
                    f"version {number} of '{name}' has another bundle than the backup's: say "
                    "--replace to give it up"
                )
            continue
        _add(mlflow, name, number, one, place, files, scratch)
    with failures_named(mlflow.store):
        for number, one in versions.items():
            for alias in one["aliases"]:
                mlflow.client.set_registered_model_alias(name, alias, str(number))


def _add(
    mlflow: _Mlflow,
    name: str,
    number: int,
    one: Mapping[str, Any] | None,
    place: ObjectStore,
    files: Mapping[str, StoredFile],
    scratch: Path,
) -> None:
    """Version `number`; a deleted one where the backup has none."""
    with failures_named(mlflow.store):
        if one is None:
            row = mlflow.client.create_model_version(name, f"runs:/none/{ARTIFACT}")
            mlflow.client.delete_model_version(name, row.version)
            return
    # One at a time: a bundle may have gigabytes.
    with TemporaryDirectory(dir=scratch) as folder:
        for path, file in files.items():
            inside = path.removeprefix(f"{number}/")
            if inside != path:
                target = Path(folder, inside)
                target.parent.mkdir(parents=True, exist_ok=True)
                place.get(file, target)
        with failures_named(mlflow.store):
            run_id = _make_run(mlflow, one["run"])
            mlflow.client.log_artifacts(run_id, folder, ARTIFACT)
            mlflow.client.set_terminated(run_id)
            source = f"runs:/{run_id}/{ARTIFACT}"
            row = mlflow.client.create_model_version(name, source, run_id, tags=one["tags"])
    if int(row.version) != number:
        raise RegistryError(
            f"the registry gave version {row.version} of '{name}' where {number} belongs: it has "
            "had versions before; name an empty one (tracking.url)"
        )


def _run(mlflow: _Mlflow, run_id: str) -> dict[str, Any]:
    """What a run says: its name, tags, parameters, and every point of every curve."""
    with failures_named(mlflow.store):
        run, history = mlflow.client.get_run(run_id), mlflow.client.get_metric_history
        curves = {
            key: [[one.step, one.value, one.timestamp] for one in history(run_id, key)]
            for key in run.data.metrics
        }
    tags = {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.artifact")}
    return {
        "name": run.info.run_name,
        "id": run_id,
        "tags": tags,
        "params": dict(run.data.params),
        "metrics": curves,
    }


def _make_run(mlflow: _Mlflow, run: Mapping[str, Any]) -> str:
    tags = {**run["tags"], f"{PREFIX}restored_from": run["id"]}
    run_id = create_run(mlflow.client, mlflow.store, run["name"], tags)
    points = [
        (key, value, at_ms, step)
        for key, curve in run["metrics"].items()
        for step, value, at_ms in curve
    ]
    log_rows(mlflow.client, run_id, run["params"], points)
    return run_id


def _exists(mlflow: _Mlflow, name: str) -> bool:
    return bool(mlflow.client.search_registered_models(f"name='{name}'"))


def _open(config: RunConfig) -> _Mlflow:
    store = open_store(config)
    with failures_named(store):
        return _Mlflow(mlflow_client(store), store)
