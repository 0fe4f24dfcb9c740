"""Where MLflow keeps runs, checked before training; what a run is described by."""

from __future__ import annotations

import getpass
import json
import os
import platform
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from persona_ray import __version__
from persona_ray.config import RunConfig
from persona_ray.errors import TrackingError

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# A server that takes longer to answer is none.
_ANSWER_S = 5.0
# Drivers that otherwise wait for minutes, and take the same argument.
_PATIENT = ("psycopg", "psycopg2", "pymysql", "mysqldb")
# MLflow takes 6000 characters.
_VALUE_CHARACTERS = 5000


@dataclass(frozen=True, slots=True)
class TrackingStore:
    """`shown` is `url` without its password. `artifacts`: folder for the files of a new experiment,
    None where a server decides."""

    url: str
    shown: str
    experiment: str
    artifacts: Path | None


def open_store(config: RunConfig) -> TrackingStore:
    """Raises TrackingError where it cannot be reached."""
    workspace = config.workspace.absolute()
    url = config.tracking.url or f"sqlite:///{workspace / 'mlflow.db'}"
    scheme = url.partition(":")[0].partition("+")[0]
    store = TrackingStore(url, url, config.tracking.experiment, None)
    if scheme in ("http", "https"):
        _knock(url)
        return store
    if scheme not in _DATABASES:
        raise TrackingError(
            f"tracking.url '{url}' is neither http(s):// of an MLflow server nor a database "
            f"({', '.join(_DATABASES)}): leave it empty for mlflow.db in the workspace, or say off"
        )
    return replace(store, shown=_connect(url), artifacts=workspace / "mlruns")


def _knock(url: str) -> None:
    """Any answer but a server's fault is one: proxies and logins are MLflow's own business."""
    reason = ""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=_ANSWER_S):
            return
    except urllib.error.HTTPError as error:
        if error.code < 500:
            return
        reason = f"HTTP {error.code}"
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "reason", error))
    raise TrackingError(
        f"no MLflow server answers at tracking.url '{url}' ({reason}): start it "
        "(`mlflow server`), mend the address, or train without it: --set tracking.url=off"
    )


def _connect(url: str) -> str:
    """The address without its password."""
    from sqlalchemy import create_engine
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    shown = url.partition(":")[0] + "://..."
    try:
        parsed = make_url(url)
        shown = parsed.render_as_string(hide_password=True)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        limit = {"connect_timeout": int(_ANSWER_S)} if parsed.get_driver_name() in _PATIENT else {}
        engine = create_engine(parsed, connect_args=limit)
        with engine.connect():
            pass
        engine.dispose()
    except (SQLAlchemyError, ImportError, OSError) as error:
        said = " ".join(str(getattr(error, "orig", error)).split())[:200]
        raise TrackingError(
            f"the MLflow database tracking.url '{shown}' cannot be opened ({said}): mend the "
            "address, or train without it: --set tracking.url=off"
        ) from None
    return shown


def flatten(parameters: Mapping[str, BaseModel]) -> dict[str, str]:
    """`{"training": section}` -> `{"training.epochs": "15", ...}`"""

    def leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
        if isinstance(value, dict):
            for key, below in value.items():
                yield from leaves(f"{name}.{key}", below)
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield name, text[:_VALUE_CHARACTERS]

    rows: dict[str, str] = {}
    for name, section in parameters.items():
        rows.update(leaves(name, section.model_dump(mode="json")))
    return rows


def environment() -> str:
    """JSON: the machine's kind, Python, and every installed package with its version."""
    packages = {
        str(found.metadata["Name"]): found.version
        for found in distributions()
        if found.metadata["Name"]
    }
    tree = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "packages": dict(sorted(packages.items(), key=lambda item: item[0].lower())),
    }
    return json.dumps(tree, indent=1)


def source_tags() -> dict[str, str]:
    """Who runs which revision, and whether files differ from it; a checkout's revision only if
    this module belongs to it."""
    tags = {"mlflow.source.name": "persona-ray", "persona_ray.version": __version__}
    package = Path(__file__).resolve().parent.parent
    try:
        tags["mlflow.user"] = getpass.getuser()
        said = _git(package, "rev-parse", "--show-toplevel", "HEAD").splitlines()
        if len(said) == 2 and Path(said[0]) == package.parent:
            changed = _git(package, "status", "--porcelain", "--untracked-files=no")
            tags["mlflow.source.git.commit"] = said[1]
            tags["mlflow.source.git.dirty"] = str(bool(changed.strip())).lower()
    except (OSError, KeyError, subprocess.SubprocessError):
        return tags
    return tags


def _git(folder: Path, *arguments: str) -> str:
    # Without locks: somebody may be committing.
    return subprocess.run(
        ["git", "--no-optional-locks", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=_ANSWER_S,
        check=True,
    ).stdout
