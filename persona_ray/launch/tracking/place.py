"""Where MLflow keeps runs, checked before training."""

from __future__ import annotations

import urllib.error
import urllib.request
from dataclasses import dataclass, field, replace
from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.errors import TrackingError
from persona_ray.store.urls import expand_url

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
# A server that takes longer to answer is none.
_ANSWER_S = 5.0
# Drivers that otherwise wait for minutes, and take the same argument.
_PATIENT = ("psycopg", "psycopg2", "pymysql", "mysqldb")


@dataclass(frozen=True, slots=True)
class TrackingStore:
    """`shown` is `url` without its password. `artifacts`: folder for the files of a new experiment,
    None where a server decides."""

    url: str = field(repr=False)
    shown: str
    experiment: str
    artifacts: Path | None


def local_database(config: RunConfig) -> Path:
    """Where a workspace keeps runs and versions that no server keeps."""
    return config.workspace.absolute() / "mlflow.db"


def open_store(config: RunConfig) -> TrackingStore:
    """Raises TrackingError where it cannot be reached, ConfigError where its ${NAME} is not set."""
    workspace = config.workspace.absolute()
    url = config.tracking.url or f"sqlite:///{local_database(config)}"
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
    if "${" in url:
        url = expand_url(url, "tracking.url").render_as_string(hide_password=False)
    return replace(store, url=url, shown=_connect(url), artifacts=workspace / "mlruns")


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
