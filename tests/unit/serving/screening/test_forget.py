"""Forgetting a person by REST and by the command: who may, and that files and rows go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError
from persona_ray.serving.application import build_app
from persona_ray.serving.routes.screening_forget import screening_forget
from persona_ray.serving.screening.recordings import Recordings
from persona_ray.store import Store, open_store
from persona_ray.store.screening.call_records import NewCall
from tests.unit.serving.screening.parts import Fakes, key_of, services_of

FORGET, NUMBER = "/v1/screening/forget", "+8613800138000"


@pytest.fixture
def client(screening: RunConfig, store: Store, fake: Fakes) -> Iterator[TestClient]:
    services = services_of(screening, store, fake)
    with TestClient(build_app(services, [screening_forget])) as opened:
        yield opened


def recorded(config: RunConfig, store: Store, user: str) -> None:
    new = NewCall(
        user_id=user,
        call_id="k1",
        number=NUMBER,
        channel="telephone",
        at=datetime.now(UTC),
        decision="screen",
        source={},
    )
    call, _ = store.screened_calls.hand_over(new)
    recordings = Recordings(config.workspace)
    place = recordings.place(call.ref)
    recordings.folder(place).mkdir(parents=True)
    store.screened_calls.recorded(call, place)


def test_a_user_forgets_himself_and_an_operator_anybody(
    client: TestClient, screening: RunConfig, store: Store
) -> None:
    li, op = key_of(store, "li", "screening"), key_of(store, "op", "screening", "operator")
    for user in ("li", "wang"):
        recorded(screening, store, user)
    for asked, field in (
        ({"by": "user", "name": "wang"}, "user_id"),
        ({"by": "number", "name": NUMBER}, "by"),
        ({"by": "voice", "name": "v1"}, "by"),
    ):
        refused = client.post(FORGET, json=asked, headers=li)
        assert (refused.status_code, refused.json()["error"]["field"]) == (403, field)
    mine = client.post(FORGET, json={"by": "user"}, headers=li).json()
    assert (mine["calls"], mine["recordings"]) == (1, 1)
    nobody = client.post(FORGET, json={"by": "number"}, headers=op)
    assert (nobody.status_code, nobody.json()["error"]["field"]) == (422, "name")
    theirs = client.post(FORGET, json={"by": "number", "name": "138 0013 8000"}, headers=op)
    assert theirs.json()["calls"] == 1
    assert list((screening.workspace / "screening/recordings").glob("*/*")) == []


def test_the_command_does_the_same(screening: RunConfig) -> None:
    with open_store(screening.store_url) as store:
        recorded(screening, store, "li")
        store.screening_corrections.want("li", ["delivery"])
    # As the demo shows the call.
    (screening.workspace / "recordings").mkdir()
    for name, text in (
        ("demo.json", "{}"),
        ("recordings/k1.ogg", "sound"),
        ("recordings/k2.ogg", "sound"),
        ("report.json", '{"rows": [{"call_id": "k1"}]}'),
    ):
        (screening.workspace / name).write_text(text)
    command = ["screening", "forget", "--set", f"workspace={screening.workspace}"]
    unasked = CliRunner().invoke(app, [*command, "--user", "li"])
    assert "for good? Nobody can be asked here: say --yes" in str(unasked.exception)
    command.append("--yes")
    done = CliRunner().invoke(app, [*command, "--user", "li"])
    assert done.stdout == "forgotten: 1 calls, 1 recordings, 1 rows\n"
    assert list((screening.workspace / "screening/recordings").glob("*/*")) == []
    assert [path.name for path in (screening.workspace / "recordings").iterdir()] == ["k2.ogg"]
    assert not (screening.workspace / "report.json").exists()
    unclear = CliRunner().invoke(app, [*command, "--user", "li", "--voice", "v1"])
    assert isinstance(unclear.exception, ConfigError)
    assert "name one person" in str(unclear.exception)
