"""The routes of sets: conditional requests, scopes, private look-ups, going back."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import random
import secrets
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
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
from persona_ray.serving.screening.device import Found, NotFound, Wanted
from persona_ray.serving.screening.private import PrivateLookUp
from persona_ray.serving.screening.signing import KeyRing
from persona_ray.serving.screening.statements import Kind, Signed, canonical
from persona_ray.store import Store, open_store
from persona_ray.store.screening_records import NumberEntry
from tests.unit.serving.fakes import FakeService
from tests.unit.serving.fuzzing import operations, schema_of, statuses, tries
from tests.unit.serving.screening.sets_service import (
    FRAUD,
    Sets,
    Tampering,
    device_of,
    keys_on,
    serving,
)

SETS = "/v1/screening/sets"
NUMBERS = (Wanted(Kind.NUMBERS),)


@pytest.fixture
def sets(store: Store, tmp_path: Path) -> Iterator[Sets]:
    with serving(store, tmp_path / "service", "screening.distribution.crowd=4") as running:
        yield running


@pytest.fixture
def client(sets: Sets) -> Iterator[httpx2.Client]:
    with httpx2.Client(
        base_url=sets.url + SETS,
        headers={"authorization": f"Bearer {sets.key}"},
        transport=httpx2.HTTPTransport(verify=False),
    ) as client:
        yield client


def told(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["statement"])


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


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


def test_a_look_up_never_tells_the_number(sets: Sets, tmp_path: Path) -> None:
    listed = [f"+861380000{index:04d}" for index in range(200)]
    sets.put(*listed)
    sets.put("+8613900000000", expires_at="2020-01-01T00:00:00+00:00")
    line = Tampering()
    with device_of(sets, tmp_path / "device.sqlite", line) as (device, _):
        for number in listed[:10]:
            found = device.ask(number)
            assert isinstance(found, Found)
            assert found.payload == FRAUD
        assert device.ask("+8613811112222") == NotFound()
        assert device.ask("+8613900000000") == NotFound()
        sets.remove(listed[0])
        sets.put("+8613811112222", name="the bank")
        assert device.ask(listed[0]) == NotFound()
        assert isinstance(device.ask("+8613811112222"), Found)
    for request in line.seen:
        sent = str(request.url) + str(request.headers) + request.content.decode()
        assert not any(number[1:] in sent for number in [*listed[:10], "+8613811112222"])
        # 201 listed numbers, of which 4 at least share a prefix on average: 5 bits.
        assert len(request.url.params.get("prefix", "00000")) == 5
    sizes = [
        len(told(answer)["entries"])
        for request, answer in zip(line.seen, line.answers, strict=True)
        if request.url.path.endswith("lookup")
    ]
    assert sum(sizes) / len(sizes) >= 4


def test_what_has_expired_or_is_old_is_taken_out_by_itself(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_ray.serving.routes.screening_sets._TIDIED_EVERY_S", 0.05)
    with serving(store, tmp_path / "service") as sets:
        sets.put("+8610001", "+8610001", days=60)
        now = datetime.now(UTC)
        entry = NumberEntry(number="+8610002", standing="illegal", origin="reports")
        store.numbers.put(replace(entry, expires_at=now + timedelta(seconds=0.2)), "reports", now)
        deadline = time.monotonic() + 20
        while sets.standing(sets.version()) != {"+8610001"} and time.monotonic() < deadline:
            time.sleep(0.05)
        assert sets.standing(sets.version()) == {"+8610001"}
        assert store.changes.state("numbers").floor == 2


def test_hashes_are_hmac_and_buckets_are_whole(sets: Sets, client: httpx2.Client) -> None:
    """Against a plain computation, over all prefixes."""
    listed = [f"+861380000{index:04d}" for index in range(40)]
    sets.put(*listed)
    terms = told(client.get("/numbers/salt"))
    assert terms["bits"] == 3
    salt = bytes.fromhex(terms["salt"])
    truth = {hmac.new(salt, one.encode(), hashlib.sha256).hexdigest() for one in listed}
    seen: set[str] = set()
    for prefix in (f"{index:03b}" for index in range(8)):
        bucket = told(
            client.get("/numbers/lookup", params={"epoch": terms["epoch"], "prefix": prefix})
        )
        hashes = [entry["hash"] for entry in bucket["entries"]]
        assert hashes == sorted(hashes)
        assert all(f"{int(one[0], 16):04b}".startswith(prefix) for one in hashes)
        seen |= set(hashes)
    assert seen == truth
    other = {"epoch": "2020-01-01-00000000", "prefix": "000"}
    assert code(client.get("/numbers/lookup", params=other)) == (409, "sets.salt")
    wide = {"epoch": terms["epoch"], "prefix": ""}
    assert code(client.get("/numbers/lookup", params=wide)) == (422, "sets.prefix")


@pytest.mark.parametrize("at_once", [0, 10_000])
def test_the_index_follows_the_log(
    sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Against an index that is made anew at each step, by single changes and by rebuilding."""
    monkeypatch.setattr("persona_ray.serving.screening.private._ANEW", at_once)
    chance, keys = random.Random(2), KeyRing(tmp_path / "keys")
    one = PrivateLookUp(sets.store.changes, keys, 16, 1000)
    stock = [f"+861380000{index:04d}" for index in range(40)]
    for _ in range(12):
        sets.put(*chance.sample(stock, 5))
        standing = sorted(sets.standing(sets.version()))
        sets.remove(*chance.sample(standing, chance.randrange(4)))
        fresh = PrivateLookUp(sets.store.changes, keys, 16, 1000)
        epoch = str(fresh.salt().statement["epoch"])
        for prefix in ("", "0", "1", "101"):
            now, truth = one.bucket(epoch, prefix).statement, fresh.bucket(epoch, prefix).statement
            assert now["entries"] == truth["entries"]
            assert now["version"] == truth["version"] == sets.version()
        assert len(one.bucket(epoch, "").statement["entries"]) == len(sets.standing(sets.version()))


def test_each_day_and_each_key_has_its_own_salt(sets: Sets, tmp_path: Path) -> None:
    sets.put(*(f"+861380000{index:04d}" for index in range(40)))
    folder = tmp_path / "keys"
    ring, now = KeyRing(folder), datetime(2026, 3, 1, 23, 59, tzinfo=UTC)

    def look_up(at: datetime) -> PrivateLookUp:
        return PrivateLookUp(sets.store.changes, KeyRing(folder), 16, 4, lambda: at)

    def salt(signed: Signed) -> tuple[str, str]:
        return signed.statement["epoch"], signed.statement["salt"]

    one = look_up(now)
    first = salt(one.salt())
    # Every replica says the same.
    assert salt(look_up(now).salt()) == first
    assert one.salt().statement["until"] == "2026-03-02T00:00:00Z"
    next_day = salt(look_up(now + timedelta(minutes=1)).salt())
    ring.rotate()
    successor = salt(one.salt())
    assert len({first, next_day, successor}) == 3


def test_a_device_whose_salt_is_over_asks_for_the_new_one(sets: Sets, tmp_path: Path) -> None:
    sets.put("+8610001")
    with device_of(sets, tmp_path / "device.sqlite") as (device, _):
        assert isinstance(device.ask("+8610001"), Found)
        KeyRing(sets.folder / "keys" / "screening").rotate()
        assert isinstance(device.ask("+8610001"), Found)


def test_canonical_json_is_written_in_one_way() -> None:
    assert canonical({"b": [1, None, True], "a": 'é\n\u0001"/'}) == (
        '{"a":"é\\n\\u0001\\"/","b":[1,null,true]}'.encode()
    )
    for wrong in (0.5, {"a": float("nan")}, 2**53, {1: "a"}, {"é": 1}, b"", ["\ud800"]):
        with pytest.raises(ValueError):
            canonical(wrong)


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


@pytest.mark.parametrize(
    ("name", "mode"), tries(NAMES, [f"GET {SETS}/keys", f"GET {SETS}/numbers/salt"])
)
def test_no_request_breaks_the_service(
    api: tuple[Any, Sets], name: str, mode: GenerationMode
) -> None:
    schema, sets = api
    sets.put(f"+86{secrets.randbelow(10**8)}")

    def come_further(case: Any, data: st.DataObject) -> None:
        for field in ("since", "version"):
            if field in (case.query or {}):
                case.query[field] = data.draw(st.integers(0, sets.version()))

    assert set(operations(schema)) == set(NAMES)
    seen = statuses(operations(schema)[name], mode, come_further, 25)
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
        KeyRing(sets.folder / "keys" / "screening").rotate()
        broken = client.get("/numbers/snapshot", params={"after": place})
        assert code(broken) == (410, "sets.place")
        device.sync([Wanted(Kind.VOICES)])
        assert store.draft("voices") is None
