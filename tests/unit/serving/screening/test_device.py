"""A device follows a real service: updates, snapshots, pages, long absence, kills."""

from __future__ import annotations

import contextlib
import random
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from persona_ray.errors import DistributionError
from persona_ray.serving.screening.device import SHARED, Found, NotFound, Synced, Wanted
from persona_ray.serving.screening.statements import Kind
from persona_ray.store import Store
from persona_ray.store.screening.changes import VOICES
from tests.unit.serving.screening.sets_service import (
    Sets,
    Tampering,
    device_of,
    keys_on,
    serving,
)

NUMBERS = (Wanted(Kind.NUMBERS),)
OWN = (Wanted(Kind.NUMBERS, own=True),)


def numbers(count: int, start: int = 0) -> list[str]:
    return [f"+86130{index:08d}" for index in range(start, start + count)]


@pytest.fixture
def sets(store: Store, tmp_path: Path) -> Iterator[Sets]:
    with serving(store, tmp_path / "service") as running:
        yield running


def test_a_new_device_takes_a_snapshot_and_then_changes_alone(sets: Sets, tmp_path: Path) -> None:
    sets.put(*numbers(12))
    line = Tampering()
    with device_of(sets, tmp_path / "device.sqlite", line) as (device, store):
        assert device.sync(NUMBERS) == [Synced("numbers", None, 12, 0, True)]
        # Pages of 5: three of them, and nothing behind the version that they are of.
        assert line.paths == ["/numbers", "/keys", *["/numbers/snapshot"] * 3]
        assert keys_on(store) == set(numbers(12))
        sets.put(*numbers(7, start=100))
        sets.remove(*numbers(2))
        sets.put(numbers(3)[2], standing="abnormal", category="promotion")
        assert device.sync(NUMBERS) == [Synced("numbers", 12, 22, 10, False)]
        assert line.paths[5:] == ["/numbers", *["/numbers/changes"] * 2]
        assert keys_on(store) == sets.standing(22)
        found = device.look_up(numbers(3)[2])
        assert isinstance(found, Found)
        assert (found.version, found.payload["standing"]) == (22, "abnormal")
        assert device.look_up(numbers(1)[0]) == NotFound()


def test_what_has_not_changed_is_not_sent(sets: Sets, tmp_path: Path) -> None:
    sets.put(*numbers(3))
    line = Tampering()
    path = tmp_path / "device.sqlite"
    with device_of(sets, path, line) as (device, _):
        device.sync(NUMBERS)
        assert device.sync(NUMBERS) == [Synced("numbers", 3, 3, 0, False)]
        assert line.answers[-1].status_code == 304
        sets.put("+8610086")
        assert device.sync(NUMBERS)[0].version == 4
    # Nobody signs a 304: it is no proof for longer than half a day.
    with device_of(sets, path, line, ahead=timedelta(hours=13)) as (device, _):
        device.sync(NUMBERS)
        assert "if-none-match" not in line.seen[-1].headers
        assert line.answers[-1].status_code == 200


def test_random_histories_end_as_the_service_is(sets: Sets, tmp_path: Path) -> None:
    """Devices that come by at any time, against what the log says stands."""
    chance = random.Random(5)
    stock = numbers(30)
    with contextlib.ExitStack() as opened:
        paths = [tmp_path / f"{index}.sqlite" for index in range(3)]
        devices = [opened.enter_context(device_of(sets, path, Tampering())) for path in paths]
        for day in range(40, 0, -1):
            for _ in range(chance.randrange(6)):
                key = chance.choice(stock)
                if key in sets.standing(sets.version()) and chance.random() < 0.5:
                    sets.remove(key, days=day)
                else:
                    sets.put(key, days=day, name=str(day))
            if chance.random() < 0.2:
                sets.store.changes.prune(datetime.now(UTC) - timedelta(days=day + 4))
            device, store = chance.choice(devices)
            version = device.sync(NUMBERS)[0].version
            assert version == sets.version()
            assert keys_on(store) == sets.standing(version)


def test_after_a_long_absence_the_snapshot_is_taken(sets: Sets, tmp_path: Path) -> None:
    sets.put(*numbers(4), days=90)
    with device_of(sets, tmp_path / "device.sqlite") as (device, store):
        device.sync(NUMBERS)
        sets.remove(numbers(1)[0], days=60)
        sets.put("+8610086", days=50)
        assert sets.store.changes.prune(datetime.now(UTC) - timedelta(days=30)) > 0
        sets.put("+8610010")
        assert device.sync(NUMBERS) == [Synced("numbers", 4, 7, 0, True)]
        assert keys_on(store) == {*numbers(4)[1:], "+8610086", "+8610010"}


def test_a_forgotten_number_leaves_the_devices(sets: Sets, tmp_path: Path) -> None:
    """Also a device that stands just where the forgotten change was."""
    sets.put("+8610086", "+8610010")
    with device_of(sets, tmp_path / "device.sqlite") as (device, store):
        device.sync(NUMBERS)
        with sets.store._database.write() as session:
            sets.store.changes.forget(session, "numbers", "+8610010", datetime.now(UTC))
        device.sync(NUMBERS)
        assert keys_on(store) == {"+8610086"}


def test_voices_come_the_same_way(sets: Sets, tmp_path: Path) -> None:
    sets.put("v1", kind=VOICES, voiceprint="AAEC/w==", engine="ge2e", reason="said his name")
    with device_of(sets, tmp_path / "device.sqlite") as (device, store):
        assert [done.name for done in device.sync(SHARED)] == ["numbers", "voices"]
        kept = store.find("voices", "v1")
        assert kept is not None
        assert kept["voiceprint"] == "AAEC/w=="
        assert "reason" not in kept


def test_a_users_own_set_is_for_that_user_alone(sets: Sets, tmp_path: Path) -> None:
    sets.put("+8610086")
    sets.put("+8610086", owner="ann", standing="normal", name="the bank")
    sets.put("+8610010", owner="bob")
    with device_of(sets, tmp_path / "ann.sqlite") as (device, store):
        device.sync(NUMBERS + OWN)
        assert keys_on(store, "own numbers") == {"+8610086"}
        found = device.look_up("+8610086")
        assert isinstance(found, Found)
        assert (found.library, found.payload["name"]) == ("own numbers", "the bank")
        sets.put("+8610000", owner="ann")
        assert device.sync(OWN)[0].changes == 1
        assert device.look_up("+8610010") == NotFound()


def test_expired_entries_are_not_found(sets: Sets, tmp_path: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    sets.put("+8610086", expires_at=soon)
    path = tmp_path / "device.sqlite"
    with device_of(sets, path) as (device, _):
        device.sync(NUMBERS)
        assert isinstance(device.look_up("+8610086"), Found)
        assert isinstance(device.ask("+8610086"), Found)
    with device_of(sets, path, ahead=timedelta(hours=2)) as (device, _):
        assert device.look_up("+8610086") == NotFound()


def test_a_device_that_is_killed_within_an_update_holds_a_whole_version(
    sets: Sets, tmp_path: Path
) -> None:
    sets.put(*numbers(4))
    path = tmp_path / "device.sqlite"
    with device_of(sets, path) as (device, _):
        device.sync(NUMBERS)
    sets.remove(*numbers(4))
    sets.put(*numbers(20, start=50))
    # In the third transaction's middle: after two pages of five.
    _killed(sets, path, after=4 + 5 + 2)
    with device_of(sets, path) as (device, store):
        kept = store.library("numbers")
        assert kept is not None
        assert kept.version == 4 + 5 + 5
        assert keys_on(store) == sets.standing(kept.version)
        device.sync(NUMBERS)
        assert keys_on(store) == sets.standing(28)


def test_a_snapshot_that_is_killed_goes_on_and_nobody_sees_half_of_it(
    sets: Sets, tmp_path: Path
) -> None:
    sets.put(*numbers(4), days=90)
    path = tmp_path / "device.sqlite"
    with device_of(sets, path) as (device, _):
        device.sync(NUMBERS)
    sets.remove(*numbers(4), days=80)
    sets.put(*numbers(20, start=50), days=80)
    sets.store.changes.prune(datetime.now(UTC) - timedelta(days=30))
    _killed(sets, path, after=13)
    sets.put("+8610086")
    line = Tampering()
    with device_of(sets, path, line) as (device, store):
        assert keys_on(store) == set(numbers(4))
        device.sync(NUMBERS)
        # Two of four pages were here already; then the change since.
        assert line.paths == ["/numbers", *["/numbers/snapshot"] * 2, "/numbers/changes"]
        assert keys_on(store) == {*numbers(20, start=50), "+8610086"}
        assert store.draft("numbers") is None


def _killed(sets: Sets, path: Path, after: int) -> None:
    """Sync in a process of its own, which is killed while it writes entry number `after`."""
    code = f"""
        import os, signal
        from pathlib import Path
        from persona_ray.serving.screening.device import Device, Wanted
        from persona_ray.serving.screening.device_store import DeviceStore
        from persona_ray.serving.screening.statements import Kind

        class Dying(DeviceStore):
            written = 0
            def _put(self, generation, entries):
                for entry in entries:
                    super()._put(generation, [entry])
                    self._count()
            def _run(self, query, *values):
                super()._run(query, *values)
                if query.startswith("DELETE FROM entries"):
                    self._count()
            def _count(self):
                self.written += 1
                if self.written == {after}:
                    os.kill(os.getpid(), signal.SIGKILL)

        Device({sets.url!r}, Dying(Path({str(path)!r})), {sets.key!r}).sync([Wanted(Kind.NUMBERS)])
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False)
    assert ended.returncode == -signal.SIGKILL


def test_without_a_service_what_is_here_stands(sets: Sets, tmp_path: Path) -> None:
    sets.put("+8610086")
    with device_of(sets, tmp_path / "device.sqlite") as (device, _):
        device.sync(NUMBERS)
    gone = Sets("http://127.0.0.1:9", sets.store, sets.folder, sets.key)
    with device_of(gone, tmp_path / "device.sqlite") as (device, _):
        with pytest.raises(DistributionError, match="cannot be reached") as refused:
            device.sync(NUMBERS)
        assert refused.value.reason == "unreachable"
        assert isinstance(device.look_up("+8610086"), Found)


def test_the_file_of_a_device_is_its_owners(sets: Sets, tmp_path: Path) -> None:
    path = tmp_path / "device.sqlite"
    with device_of(sets, path) as (device, _):
        device.sync(NUMBERS)
        modes = {stat.S_IMODE(one.stat().st_mode) for one in tmp_path.glob("device.sqlite*")}
    assert modes == {0o600}
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(b"no database" * 100)
    with (
        pytest.raises(DistributionError, match="delete it and sync again"),
        device_of(sets, damaged),
    ):
        pass
