"""What a device does not take, and why: a service that lies, a line that somebody stands in."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from persona_ray.errors import DistributionError
from persona_ray.serving.screening.device import Wanted
from persona_ray.serving.screening.statements import Kind
from persona_ray.store import Store, open_store
from persona_ray.vault.signing import SigningKeys
from tests.unit.serving.screening.sets_service import (
    Sets,
    Tampering,
    copy_of,
    device_of,
    keys_on,
    serving,
)

NUMBERS = (Wanted(Kind.NUMBERS),)
FIRST = ["+8610001", "+8610002", "+8610003"]
MORE = [f"+861001{index}" for index in range(12)]


@pytest.fixture
def sets(store: Store, tmp_path: Path) -> Iterator[Sets]:
    with serving(store, tmp_path / "service") as running:
        running.put(*FIRST)
        yield running


@pytest.fixture
def path(sets: Sets, tmp_path: Path) -> Path:
    """The file of a device that has the first three numbers."""
    path = tmp_path / "device.sqlite"
    with device_of(sets, path) as (device, _):
        device.sync(NUMBERS)
    return path


def refusal(sets: Sets, path: Path, line: Tampering | None = None, **options: Any) -> str:
    """Why an update is refused; what the device held still stands."""
    with device_of(sets, path, line, **options) as (device, store):
        held = keys_on(store)
        kept = store.library("numbers")
        with pytest.raises(DistributionError) as refused:
            device.sync(NUMBERS)
        after = store.library("numbers")
        assert kept is not None
        assert after is not None
        # Pages before the one that was refused may have been taken.
        if after.version == kept.version:
            assert keys_on(store) == held
        else:
            assert keys_on(store) == sets.standing(after.version)
    return refused.value.reason


def edited(
    path_end: str, change: Callable[[dict[str, Any]], None]
) -> Callable[[httpx2.Request, httpx2.Response], httpx2.Response]:
    """Answers to paths that end so, changed on the way."""

    def put(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if not request.url.path.endswith(path_end) or answer.status_code != 200:
            return answer
        body = json.loads(answer.content)
        change(body)
        return copy_of(answer, json.dumps(body).encode())

    return put


def _acquit(body: dict[str, Any]) -> None:
    body["statement"]["changes"][0]["payload"]["standing"] = "normal"


def _leave_out(body: dict[str, Any]) -> None:
    del body["statement"]["changes"][1]


def _new_time(body: dict[str, Any]) -> None:
    body["statement"]["issued_at"] = "2030-01-01T00:00:00Z"


def _no_signature(body: dict[str, Any]) -> None:
    body["signature"] = ""


@pytest.mark.parametrize(
    ("where", "change", "reason"),
    [
        ("/changes", _acquit, "signature"),
        ("/changes", _leave_out, "signature"),
        ("/numbers", _new_time, "signature"),
        ("/numbers", _no_signature, "signature"),
        ("/numbers", lambda body: body.update(key_id="0" * 32), "key"),
        ("/changes", lambda body: body.pop("statement"), "format"),
        ("/changes", lambda body: body["statement"].update(since=0.5), "signature"),
    ],
)
def test_a_page_that_was_changed_on_the_way(
    sets: Sets, path: Path, where: str, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    sets.put(*MORE)
    assert refusal(sets, path, Tampering(edited(where, change))) == reason
    with device_of(sets, path) as (device, store):
        device.sync(NUMBERS)
        assert keys_on(store) == {*FIRST, *MORE}


def test_pages_that_are_missing_or_come_twice(sets: Sets, path: Path, tmp_path: Path) -> None:
    """Each page is rightly signed; they are not the ones that were asked for."""
    sets.put(*MORE)
    honest, other = Tampering(), tmp_path / "other.sqlite"
    shutil.copy(path, other)
    with device_of(sets, other, honest) as (device, _):
        device.sync(NUMBERS)
    pages = [
        answer
        for request, answer in zip(honest.seen, honest.answers, strict=True)
        if request.url.path.endswith("/changes")
    ]
    assert len(pages) == 3

    def instead(order: list[int]) -> Tampering:
        left = [pages[index] for index in order]

        def put(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
            return copy_of(left.pop(0)) if request.url.path.endswith("/changes") else answer

        return Tampering(put)

    for number, order in enumerate(([1, 2], [0, 2], [0, 0, 1, 2])):
        again = tmp_path / f"{number}.sqlite"
        shutil.copy(path, again)
        assert refusal(sets, again, instead(order)) == "order", order


def test_a_page_of_a_snapshot_that_is_missing(sets: Sets, tmp_path: Path) -> None:
    sets.put(*MORE)

    def skip(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if request.url.params.get("after", None) != "":
            return answer
        told = json.loads(answer.content)["statement"]
        later = request.url.copy_set_param("after", told["next"])
        headers = {"authorization": request.headers["authorization"]}
        return copy_of(httpx2.get(later, headers=headers))

    with device_of(sets, tmp_path / "new.sqlite", Tampering(skip)) as (device, store):
        with pytest.raises(DistributionError, match="missing") as refused:
            device.sync(NUMBERS)
        assert refused.value.reason == "order"
        assert store.library("numbers") is None


def test_old_answers_that_are_sent_again(sets: Sets, path: Path) -> None:
    line = Tampering()
    with device_of(sets, path, line) as (device, _):
        device.sync(NUMBERS, fresh=True)
    old = next(
        answer
        for request, answer in zip(line.seen, line.answers, strict=True)
        if request.url.path.endswith("/numbers")
    )
    sets.put(*MORE)
    with device_of(sets, path) as (device, _):
        device.sync(NUMBERS)

    def again(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        return copy_of(old) if request.url.path.endswith("/numbers") else answer

    assert refusal(sets, path, Tampering(again)) == "version"
    # Also to a device that has nothing newer, once it is old.
    assert refusal(sets, path, Tampering(again), ahead=timedelta(hours=30)) == "stale"


def test_that_nothing_has_changed_is_not_believed_for_ever(sets: Sets, path: Path) -> None:
    sets.put(*MORE)

    def nothing_new(_: httpx2.Request, __: httpx2.Response) -> httpx2.Response:
        return httpx2.Response(304)

    with device_of(sets, path, Tampering(nothing_new)) as (device, _):
        assert device.sync(NUMBERS)[0].version == 3
    later = timedelta(hours=13)
    assert refusal(sets, path, Tampering(nothing_new), ahead=later) == "stale"
    with device_of(sets, path, ahead=later) as (device, _):
        assert device.sync(NUMBERS)[0].version == 15


def test_two_updates_at_a_time_do_not_mix(sets: Sets, path: Path) -> None:
    sets.put(*MORE)
    other: list[int] = []

    def meanwhile(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if request.url.path.endswith("/changes") and not other:
            with device_of(sets, path) as (device, _):
                other.append(device.sync(NUMBERS)[0].version)
        return answer

    with device_of(sets, path, Tampering(meanwhile)) as (device, store):
        with pytest.raises(DistributionError, match="another process") as refused:
            device.sync(NUMBERS)
        assert (refused.value.reason, other) == ("busy", [15])
        assert keys_on(store) == {*FIRST, *MORE}


def test_a_statement_about_another_library(sets: Sets, path: Path) -> None:
    """Rightly signed, but the voices' head in the place of the numbers'."""
    sets.put("v1", kind="voices")

    def swap(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if not request.url.path.endswith("/numbers"):
            return answer
        headers = {"authorization": request.headers["authorization"]}
        return copy_of(httpx2.get(f"{sets.url}/v1/screening/sets/voices", headers=headers))

    assert refusal(sets, path, Tampering(swap)) == "kind"


def test_a_service_that_was_restored_from_a_backup(sets: Sets, path: Path, tmp_path: Path) -> None:
    with (
        open_store(f"sqlite:///{tmp_path / 'backup.sqlite'}") as backup,
        serving(backup, sets.folder) as restored,
    ):
        # Behind the device: it refuses until somebody says that this is right.
        restored.put(FIRST[0])
        assert refusal(restored, path) == "version"
        # As far, and beyond, by other changes.
        restored.put("+8610099", "+8610098")
        assert refusal(restored, path) == "chain"
        restored.put("+8610097")
        assert refusal(restored, path) == "chain"
        with device_of(restored, path) as (device, store):
            device.sync(NUMBERS, fresh=True)
            assert keys_on(store) == {FIRST[0], "+8610099", "+8610098", "+8610097"}
            assert device.sync(NUMBERS)[0].changes == 0


def test_a_successor_of_the_key_is_followed_and_the_old_key_ends(sets: Sets, path: Path) -> None:
    line = Tampering()
    with device_of(sets, path, line) as (device, _):
        device.sync(NUMBERS, fresh=True)
    old = line.answers[0]
    keys = SigningKeys(sets.folder / "keys" / "screening")
    first = keys.key_id
    keys.rotate()
    successor = keys.rotate()
    sets.put(*MORE)
    with device_of(sets, path) as (device, store):
        device.sync(NUMBERS)
        assert keys_on(store) == {*FIRST, *MORE}
        trusted = store.trusted()
        assert trusted is not None
        assert (trusted.number, trusted.key_id) == (3, successor)
    assert first != successor

    def again(request: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        return copy_of(old) if request.url.path.endswith("/numbers") else answer

    assert refusal(sets, path, Tampering(again)) == "key"


def test_another_service_is_not_believed(sets: Sets, path: Path, tmp_path: Path) -> None:
    with (
        open_store(f"sqlite:///{tmp_path / 'stranger.sqlite'}") as store,
        serving(store, tmp_path / "stranger") as stranger,
    ):
        stranger.put(*MORE)
        assert refusal(stranger, path) == "key"
        # With successors of its own, too.
        theirs = SigningKeys(stranger.folder / "keys" / "screening")
        theirs.rotate()
        assert refusal(stranger, path) == "key"
        # Told by hand, it is.
        with device_of(stranger, path, trust=theirs.key_id) as (device, held):
            device.sync(NUMBERS, fresh=True)
            assert keys_on(held) == set(MORE)
        assert refusal(sets, path) == "key"
    with (
        device_of(sets, tmp_path / "new.sqlite", trust="f" * 32) as (device, held),
        pytest.raises(DistributionError, match="has no key ffff"),
    ):
        device.sync(NUMBERS)


def test_what_is_no_service_of_sets(sets: Sets, path: Path) -> None:
    def page(_: httpx2.Request, __: httpx2.Response) -> httpx2.Response:
        return httpx2.Response(200, content=b"<html>Welcome to the hotel</html>")

    assert refusal(sets, path, Tampering(page)) == "format"
    assert refusal(sets, path, key="pr_0_x") == "key.unknown"
    other = sets.store.keys.create("bob", ["screening"]).token
    assert refusal(sets, path, key=other) == "key.scope"


def test_a_service_that_is_full_is_asked_again(
    sets: Sets, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    # Not `time.sleep` itself: other threads of this process sleep, too.
    clock = SimpleNamespace(sleep=waited.append)
    monkeypatch.setattr("persona_ray.serving.screening.device_line.time", clock)
    sets.put(*MORE)
    left = [429, 503]

    def full(_: httpx2.Request, answer: httpx2.Response) -> httpx2.Response:
        if left:
            return httpx2.Response(left.pop(0), headers={"retry-after": "7"}, content=b"{}")
        return answer

    with device_of(sets, path, Tampering(full)) as (device, _):
        assert device.sync(NUMBERS)[0].version == 15
    assert waited == [7.0, 7.0]
