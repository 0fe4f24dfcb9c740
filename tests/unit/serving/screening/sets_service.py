"""A service of sets on a real port, a line to it that can be tampered with, and a device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from persona_ray.config import load_config
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.routes.screening_sets import screening_sets
from persona_ray.serving.screening.device import Device
from persona_ray.serving.screening.device_store import DeviceStore
from persona_ray.store import Store
from persona_ray.store.screening.changes import NUMBERS, SHARED, NewChange, What
from tests.unit.serving.fakes import FakeService

SETS = "/v1/screening/sets"
FRAUD = {"standing": "illegal", "category": "account_fraud", "origin": "operator", "name": ""}
Change = Callable[[httpx2.Request, httpx2.Response], httpx2.Response]


@dataclass
class Sets:
    """The service: where it listens, its store, a key of user `ann` with the scope `device`."""

    url: str
    store: Store
    folder: Path
    key: str

    def put(
        self, *keys: str, owner: str = SHARED, kind: str = NUMBERS, days: float = 0, **payload: Any
    ) -> int:
        """List `keys`, `days` ago."""
        changes = [NewChange(key, What.ADDED, FRAUD | payload) for key in keys]
        return self._append(changes, owner, kind, days)

    def remove(self, *keys: str, days: float = 0) -> int:
        changes = [NewChange(key, What.REMOVED, None) for key in keys]
        return self._append(changes, SHARED, NUMBERS, days)

    def _append(self, changes: list[NewChange], owner: str, kind: str, days: float) -> int:
        at = datetime.now(UTC) - timedelta(days=days)
        with self.store._database.write() as session:
            return self.store.changes.append(session, kind, changes, at, owner)

    def standing(self, version: int, kind: str = NUMBERS) -> set[str]:
        return {row.key for row in self.store.changes.standing(kind, version, 10_000)}

    def version(self) -> int:
        return self.store.changes.state(NUMBERS).sequence


@dataclass
class Tampering(httpx2.BaseTransport):
    """Keeps what went by; `change` may put another answer in the place of one."""

    change: Change = lambda _, answer: answer
    seen: list[httpx2.Request] = field(default_factory=list)
    answers: list[httpx2.Response] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Reading the system's certificates takes longer than most tests.
        self._inner = httpx2.HTTPTransport(verify=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        answer = self._inner.handle_request(request)
        answer.read()
        plain = copy_of(answer)
        self.answers.append(plain)
        return self.change(request, copy_of(plain))

    @property
    def paths(self) -> list[str]:
        return [request.url.path.rpartition("/sets")[2] for request in self.seen]

    def close(self) -> None:
        self._inner.close()


def copy_of(answer: httpx2.Response, content: bytes | None = None) -> httpx2.Response:
    """The same answer again, or with other content."""
    keep = ("etag", "content-type", "retry-after")
    headers = {name: answer.headers[name] for name in keep if name in answer.headers}
    body = answer.content if content is None else content
    return httpx2.Response(answer.status_code, headers=headers, content=body)


@contextlib.contextmanager
def serving(store: Store, folder: Path, *overrides: str) -> Iterator[Sets]:
    """A service on a port of this machine, its keys in `folder`."""
    named = [f"workspace={folder}", "screening.distribution.page=5", *overrides]
    config = load_config(None, [*named, "serving.keys.requests_per_minute=100000"])
    app = build_app(Services(config, FakeService(), store), [screening_sets])
    key = store.keys.create("ann", ["device"]).token
    with served_in_thread(app) as url:
        yield Sets(url, store, folder, key)


@contextlib.contextmanager
def device_of(
    sets: Sets,
    path: Path,
    line: Tampering | None = None,
    trust: str = "",
    ahead: timedelta = timedelta(0),
    key: str | None = None,
) -> Iterator[tuple[Device, DeviceStore]]:
    """A device with its file at `path`; its clock is `ahead`."""
    store = DeviceStore(path)
    device = Device(
        sets.url,
        store,
        sets.key if key is None else key,
        trust=trust,
        transport=line or Tampering(),
        now=lambda: datetime.now(UTC) + ahead,
    )
    try:
        yield device, store
    finally:
        device.close()
        store.close()


def keys_on(store: DeviceStore, name: str = "numbers") -> set[str]:
    """Of every entry that a device holds of a library."""
    kept = store.library(name)
    if kept is None:
        return set()
    rows = store._rows("SELECT key FROM entries WHERE generation = ?", kept.generation)
    return {row[0] for row in rows}


@contextlib.contextmanager
def client_of(sets: Sets) -> Iterator[httpx2.Client]:
    """A client of the sets' routes, with the service's key."""
    with httpx2.Client(
        base_url=sets.url + SETS,
        headers={"authorization": f"Bearer {sets.key}"},
        transport=httpx2.HTTPTransport(verify=False),
    ) as client:
        yield client


def told(answer: httpx2.Response) -> dict[str, Any]:
    """What the service states."""
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["statement"])


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]
