"""Looking numbers up without naming them: routes, index, salts."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from persona_ray.serving.screening.device import Found, NotFound
from persona_ray.serving.screening.private import PrivateLookUp
from persona_ray.vault.signing import SigningKeys
from persona_ray.vault.statements import Signed
from tests.unit.serving.screening.sets_service import (
    FRAUD,
    Sets,
    Tampering,
    client_of,
    code,
    device_of,
    told,
)


@pytest.fixture
def client(sets: Sets) -> Iterator[httpx2.Client]:
    with client_of(sets) as client:
        yield client


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
    chance, keys = random.Random(2), SigningKeys(tmp_path / "keys")
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
    ring, now = SigningKeys(folder), datetime(2026, 3, 1, 23, 59, tzinfo=UTC)

    def look_up(at: datetime) -> PrivateLookUp:
        return PrivateLookUp(sets.store.changes, SigningKeys(folder), 16, 4, lambda: at)

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
        SigningKeys(sets.folder / "keys" / "screening").rotate()
        assert isinstance(device.ask("+8610001"), Found)
