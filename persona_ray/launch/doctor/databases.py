"""The product's own database, and MLflow's registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL

from persona_ray.config import RunConfig
from persona_ray.errors import BundleError, StoreError
from persona_ray.launch.doctor.finding import NotWellError, not_applicable, warning
from persona_ray.launch.tracking.place import open_store as open_tracking
from persona_ray.launch.tracking.runs import OFF, has_store
from persona_ray.launch.versions.records import Alias
from persona_ray.launch.versions.registry import Registry
from persona_ray.models.contract import RankerContract
from persona_ray.models.manifest import verify
from persona_ray.store.database import Database
from persona_ray.store.migrating import EMPTY, Schema
from persona_ray.store.urls import expand_url

# What clocks may be apart: leases, keys and signatures are compared with them.
MOST_SKEW_S = 1.0


def database(config: RunConfig) -> str:
    """It answers, in the encoding it must have; its schema is this release's. Nothing is made or
    migrated."""
    url = _url(config)
    schema = Schema()
    with answering(url) as found, found.read() as session:
        begun = datetime.now(UTC)
        # SQLite has no other encoding.
        asked = "SELECT 'UTF8'" if _in_file(url) else "SHOW server_encoding"
        encoding = session.execute(text(asked)).scalar_one()
        took = datetime.now(UTC) - begun
        revision = schema.current(session.connection(), str(found))
    if encoding != "UTF8":
        raise NotWellError(
            f"store {found} keeps text as {encoding}: Chinese would be lost",
            "make the database anew: CREATE DATABASE name ENCODING 'UTF8' TEMPLATE template0",
        )
    said = f"store {found} answers in {took.total_seconds() * 1000:.0f} ms"
    if revision == EMPTY:
        return f"{said}; it is empty: the first command makes its tables"
    if revision != schema.head:
        raise warning(
            f"{said}; its schema is {revision}, this release's is {schema.head}",
            "make a backup; the next command that opens it migrates it",
        )
    return f"{said}, schema {revision}"


def database_clock(config: RunConfig) -> str:
    """The database's clock and this machine's."""
    url = _url(config)
    if _in_file(url):
        raise not_applicable("the database has this machine's clock")
    with answering(url) as found, found.read() as session:
        before = datetime.now(UTC)
        theirs = session.execute(text("SELECT clock_timestamp()")).scalar_one()
        after = datetime.now(UTC)
    return apart("the database", theirs - before, after - before)


@contextmanager
def answering(url: URL) -> Iterator[Database]:
    """The database, which has answered. Raises NotWellError where it does not."""
    found = Database(url)
    try:
        try:
            with found.read() as session:
                session.connection()
        except StoreError as error:
            raise NotWellError(
                str(error),
                "mend store.url or the file's rights, or put a backup back: `persona-ray backup "
                "restore`"
                if _in_file(url)
                else "is the server up, may this machine reach it, and does store.url name its "
                "host, port, database, user and password?",
            ) from None
        yield found
    finally:
        found.close()


def apart(whose: str, ahead: timedelta, took: timedelta) -> str:
    """A clock that was `ahead` of ours when it was asked, and answered after `took`. Raises
    NotWellError where they are surely more than a second apart."""
    # It was read at some moment in between.
    middle = (ahead - took / 2).total_seconds()
    surely = max(0.0, abs(middle) - took.total_seconds() / 2)
    said = f"the clock of {whose} is {abs(middle):.2f} s {'ahead' if middle > 0 else 'behind'}"
    if surely > MOST_SKEW_S:
        raise NotWellError(
            f"{said} (at most {MOST_SKEW_S:g} s)", "let NTP set both: chronyc tracking"
        )
    return said


def registry(config: RunConfig) -> str:
    """MLflow answers, the champion's bundle can be fetched and is fit for this configuration."""
    if config.tracking.url == OFF:
        raise not_applicable("tracking.url is off")
    if not has_store(config):
        raise not_applicable("nothing was tracked in this workspace yet")
    store = open_tracking(config)
    found = Registry.open(config)
    champion = found.holder(Alias.CHAMPION)
    if champion is None:
        raise warning(
            f"{store.shown} answers; '{found.model}' has no champion",
            "`persona-ray models promote`, once a bundle is registered; until then the service "
            "takes the workspace's",
        )
    try:
        contract = verify(found.fetch(champion)).contract
    except BundleError as error:
        raise NotWellError(
            str(error), "promote another version, or register the bundle again"
        ) from None
    if isinstance(contract, RankerContract):
        raise NotWellError(f"{champion.uri} is a ranker of scripts", "name another tracking.model")
    if set(contract.labels) != set(config.annotation.labels):
        raise warning(
            f"{champion.uri} tells {', '.join(contract.labels)}; annotation.labels are "
            f"{', '.join(config.annotation.labels)}",
            "train and promote one with these labels, or mend annotation.labels",
        )
    return f"{store.shown} answers; champion {champion.uri}, whole"


def _url(config: RunConfig) -> URL:
    url = expand_url(config.store_url)
    if _in_file(url):
        path = Path(str(url.database))
        if url.database and not path.exists():
            raise not_applicable(f"{path} is not there yet: the first command makes it")
    return url


def _in_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite"
