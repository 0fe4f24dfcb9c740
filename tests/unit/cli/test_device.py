"""The device's commands against a real service, and those of the service's sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import ConfigError, DistributionError, RequestError
from persona_ray.store import open_store
from persona_ray.store.screening.records import NumberEntry
from tests.unit.serving.screening.sets_service import Sets, serving


@pytest.fixture
def sets(tmp_path: Path) -> Iterator[Sets]:
    """A service with the workspace `tmp_path`."""
    with (
        open_store(f"sqlite:///{tmp_path / 'store.sqlite'}") as store,
        serving(store, tmp_path) as running,
    ):
        for number in ("+8613800138000", "+8613900139000"):
            entry = NumberEntry(number=number, standing="illegal", origin="reports", category="x")
            store.numbers.put(entry, "reports", datetime.now(UTC))
        yield running


@pytest.fixture
def run(sets: Sets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PERSONA_RAY_KEY", sets.key)
    return Run(sets.url, tmp_path)


class Run:
    """Runs commands for one device and one service."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._line = ["--url", url, "--file", str(folder / "device.sqlite")]
        self.stderr = ""

    def device(self, *arguments: str) -> str:
        return self._run("device", *arguments, *self._line)

    def sets(self, *arguments: str) -> str:
        return self._run("screening", "sets", *arguments, "--set", f"workspace={self._folder}")

    def _run(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        self.stderr = result.stderr
        return result.stdout


def test_a_device_syncs_and_looks_numbers_up(run: Run) -> None:
    key = run.sets("key").strip()
    assert run.device("sync").splitlines() == [
        "numbers: version 2 by a snapshot, 2 entries",
        "voices: version 0 by a snapshot, 0 entries",
    ]
    # At the first contact, the key is shown.
    assert key in run.stderr
    assert run.device("lookup", "138 0013 8000") == "illegal, x (numbers, version 2)\n"
    assert run.device("lookup", "+86 130 0000 0000") == "not listed\n"
    assert run.device("lookup", "anonymous") == "not listed\n"
    found = json.loads(run.device("lookup", "13800138000", "--ask", "--json"))
    assert found["payload"]["category"] == "x"
    assert run.device("sync", "--trust", key).startswith("numbers: version 2, nothing new")
    assert run.stderr == ""


def test_the_service_rotates_its_key_and_goes_back(run: Run, sets: Sets) -> None:
    run.device("sync")
    first = run.sets("key")
    assert run.sets("rotate-key") != first
    sets.store.numbers.remove("", "+8613800138000", "desk", "wrong", datetime.now(UTC))
    done = run.device("sync", "--json")
    assert [one["version"] for one in json.loads(done)] == [3, 0]
    assert run.sets("versions").splitlines()[0] == "numbers: version 3, kept from 0 on"
    told = run.sets("rollback", "numbers", "2", "--reason", "it was right")
    assert told == "numbers: 1 entries are as at version 2: now 4\n"
    assert run.device("sync").startswith("numbers: version 4 from version 3 by 1 changes, 2 ent")
    with pytest.raises(ConfigError, match="choose one from 0 to 4"):
        run.sets("rollback", "numbers", "9", "--reason", "too far")


def test_mistakes_are_told_with_their_fix(run: Run) -> None:
    with pytest.raises(DistributionError, match="screening sets key"):
        run.device("sync", "--trust", "0" * 32)
    with pytest.raises(DistributionError, match="keys create"):
        run.device("sync", "--key", "pr_0_x")
    with pytest.raises(RequestError, match="not a phone number"):
        run.device("lookup", "hello")


def test_what_a_device_cannot_do_is_told(run: Run, sets: Sets, tmp_path: Path) -> None:
    with pytest.raises(DistributionError, match="sync it first"):
        run.device("lookup", "13800138000")
    there = sets.url.removeprefix("http://")
    with pytest.raises(DistributionError, match=f"write http://{there}"):
        CliRunner().invoke(
            app,
            ["device", "sync", "--url", there, "--file", str(tmp_path / "other.sqlite")],
            catch_exceptions=False,
        )
