"""The routes of sets: conditional requests, scopes, going back."""

from __future__ import annotations

import gzip
import secrets
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import strategies as st
from schemathesis import GenerationMode

from persona_ray.config import load_config
from persona_ray.serving.application import Services
from persona_ray.serving.routes.screening_sets import screening_sets
from persona_ray.serving.screening.device import Wanted
from persona_ray.serving.screening.statements import Kind
from persona_ray.store import open_store
from persona_ray.store.screening.records import NumberEntry
from persona_ray.vault.signing import SigningKeys
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.fuzzing import operations, schema_of, statuses, tries
from tests.unit.serving.screening.sets_service import (
    SETS,
    Sets,
    Tampering,
    client_of,
    code,
    device_of,
    keys_on,
    told,
)

NUMBERS = (Wanted(Kind.NUMBERS),)


@pytest.fixture
def client(sets: Sets) -> Iterator[httpx2.Client]:
    with client_of(sets) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "moves"),
    [
        ("/numbers", True),
        ("/numbers/changes?since=1", True),
        ("/numbers/changes?since=1&until=2", False),
        ("/numbers/snapshot", True),
        ("/numbers/snapshot?version=2", False),
    ],
)
def test_a_page_that_the_client_has_is_not_sent_again(
    sets: Sets, client: httpx2.Client, path: str, moves: bool
) -> None:
    sets.put("+8610001", "+8610002", "+8610003")
    first = client.get(path)
    tag = first.headers["etag"]
    again = client.get(path, headers={"if-none-match": f'"other", {tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    sets.put("+8610004")
    after = client.get(path, headers={"if-none-match": tag})
    assert after.status_code == (200 if moves else 304)


def test_pages_are_sent_packed_to_those_who_unpack(sets: Sets, client: httpx2.Client) -> None:
    sets.put(*(f"+861000{index}" for index in range(5)), name="a name that takes room" * 9)
    with client.stream("GET", "/numbers/snapshot") as answer:
        raw = b"".join(answer.iter_raw())
        assert answer.headers["content-encoding"] == "gzip"
    plain = client.get("/numbers/snapshot", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert gzip.decompress(raw) == plain.content


def test_too_old_and_too_far(sets: Sets, client: httpx2.Client) -> None:
    sets.put("+8610001", "+8610001", "+8610002", days=60)
    sets.put("+8610003")
    sets.store.changes.prune(datetime.now(UTC) - timedelta(days=30))
    old = client.get("/numbers/changes", params={"since": 1})
    assert code(old) == (410, "sets.too_old")
    assert "snapshot" in old.json()["error"]["fix"]
    assert code(client.get("/numbers/snapshot", params={"version": 1})) == (410, "sets.too_old")
    assert code(client.get("/numbers/changes", params={"since": 9})) == (409, "sets.ahead")
    assert told(client.get("/numbers/changes", params={"since": 3}))["to"] == 4
    assert told(client.get("/numbers/changes", params={"since": 4}))["changes"] == []


def test_who_may_ask(sets: Sets) -> None:
    store = sets.store

    def status(path: str, *scopes: str, name: str = "bob") -> int:
        key = store.keys.create(name, list(scopes)).token
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.get(sets.url + SETS + path, headers=headers).status_code

    for path in ("/keys", "/numbers", "/numbers/salt", "/numbers/changes?since=0", "/voices"):
        assert status(path, "recognise", "screening", "screen") == 403
        assert status(path, "device") == 200
        assert httpx2.get(sets.url + SETS + path).status_code == 401
    sets.put("+8610001", owner="ann")
    assert status("/numbers?whose=own&user_id=ann", "device") == 403
    assert status("/numbers?whose=own&user_id=bob", "device") == 200
    assert status("/numbers?whose=own&user_id=ann", "device", "operator") == 200
    assert status("/numbers?whose=own&user_id=ann", "device", name="ann") == 200


def test_a_rollback_is_a_new_version_that_devices_follow(sets: Sets, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    numbers = sets.store.numbers
    for number in ("+8610001", "+8610002"):
        entry = NumberEntry(number=number, standing="illegal", origin="operator")
        numbers.put(entry, "desk", now)
    with device_of(sets, tmp_path / "device.sqlite") as (device, store):
        device.sync(NUMBERS)
        for index in range(8):
            entry = NumberEntry(number=f"+861009{index}", standing="illegal", origin="reports")
            numbers.put(entry, "reports", now)
        numbers.remove("", "+8610001", "desk", "a mistake", now)
        assert device.sync(NUMBERS)[0].version == 11
        operator = sets.store.keys.create("desk", ["operator"]).token

        def roll_back(version: int, key: str) -> httpx2.Response:
            return httpx2.post(
                f"{sets.url}{SETS}/numbers/rollback",
                json={"version": version, "reason": "a false mass report"},
                headers={"authorization": f"Bearer {key}"},
            )

        assert code(roll_back(2, sets.key)) == (403, "key.scope")
        assert code(roll_back(99, operator)) == (409, "sets.version")
        assert roll_back(2, operator).json() == {"version": 20, "entries": 9}
        done = device.sync(NUMBERS)[0]
        assert (done.before, done.version, done.snapshot) == (11, 20, False)
        assert keys_on(store) == {"+8610001", "+8610002"}


OPERATIONS = (
    "/keys",
    "/numbers/salt",
    "/numbers/lookup",
    "/{kind}",
    "/{kind}/changes",
    "/{kind}/snapshot",
)
NAMES = (*(f"GET {SETS}{path}" for path in OPERATIONS), f"POST {SETS}/{{kind}}/rollback")


@pytest.fixture(scope="module")
def api() -> Iterator[tuple[Any, Sets]]:
    with tempfile.TemporaryDirectory() as name:
        config = load_config(None, [f"workspace={name}", "serving.keys.requests_per_minute=100000"])
        with open_store(config.store_url) as store:
            schema = schema_of(Services(config, FakeService(), store), [screening_sets])
            yield schema, Sets("", store, Path(name), "")


@tries(NAMES, [f"GET {SETS}/keys", f"GET {SETS}/numbers/salt"])
def test_no_request_breaks_the_service(
    api: tuple[Any, Sets], name: str, mode: GenerationMode, examples: int
) -> None:
    schema, sets = api
    sets.put(f"+86{secrets.randbelow(10**8)}")

    def come_further(case: Any, data: st.DataObject) -> None:
        for field in ("since", "version"):
            if field in (case.query or {}):
                case.query[field] = data.draw(st.integers(0, sets.version()))

    assert set(operations(schema)) == set(NAMES)
    seen = statuses(operations(schema)[name], mode, come_further, examples)
    if mode is GenerationMode.POSITIVE and "lookup" not in name:
        assert seen[200] > 0


def test_no_address_has_a_number_in_it(sets: Sets, tmp_path: Path) -> None:
    """Addresses stand in the logs of every proxy."""
    listed = [f"+861380000{index:04d}" for index in range(12)]
    sets.put(*listed)
    line = Tampering()
    with device_of(sets, tmp_path / "device.sqlite", line) as (device, store):
        device.sync(NUMBERS)
        assert keys_on(store) == set(listed)
    addresses = " ".join(str(request.url) for request in line.seen)
    assert line.paths.count("/numbers/snapshot") == 3
    assert "1380000" not in addresses


def test_a_place_of_another_key_begins_anew(
    sets: Sets, client: httpx2.Client, tmp_path: Path
) -> None:
    sets.put(*(f"+861380000{index:04d}" for index in range(12)))
    place = told(client.get("/numbers/snapshot"))["next"]
    assert told(client.get("/numbers/snapshot", params={"after": place}))["after"] == place
    with device_of(sets, tmp_path / "device.sqlite") as (device, store):
        device.sync(NUMBERS)
        # As a snapshot that was broken off before the key changed.
        draft = store.begin("voices", "", 0, "")
        store.extend("voices", draft, [], place)
        SigningKeys(sets.folder / "keys" / "screening").rotate()
        broken = client.get("/numbers/snapshot", params={"after": place})
        assert code(broken) == (410, "sets.place")
        device.sync([Wanted(Kind.VOICES)])
        assert store.draft("voices") is None
