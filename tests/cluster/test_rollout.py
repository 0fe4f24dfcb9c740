"""Champion and challenger on a real Serve: swapped by alias, compared, taken back; none lost."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import requests
import soundfile
from ray import serve

from persona_ray.apps.alias import (
    AliasFollower,
    RegistryVersions,
    RunDeployments,
    choose_challenger,
)
from persona_ray.apps.bundles import choose_bundle, find_bundle
from persona_ray.apps.personality import build_for, make_app
from persona_ray.config import RunConfig, load_config
from persona_ray.launch.versions.records import Alias
from persona_ray.launch.versions.registry import Registry
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.serving.deploy.graph import Graph, Served
from persona_ray.serving.deploy.ingress import IngressDeployment
from persona_ray.serving.deploy.stages import BundleChoice
from persona_ray.store import open_store
from tests.unit.inference.test_personality import clips
from tests.unit.models.test_bimodal import RATE_HZ, small_model

pytestmark = pytest.mark.cluster

PORT = 18_653
NAME = "rollout"
TEXT = "我想先看一下合同"
NODES = ("ingress", "asr", "speech", "text", "classifier")


@pytest.fixture(scope="module")
def address(ray_cluster: str) -> Iterator[str]:
    """Of Serve's proxy."""
    del ray_cluster
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": PORT})
    yield f"http://127.0.0.1:{PORT}/{NAME}"
    serve.shutdown()


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose registry has three versions; the first is champion."""
    workspace = tmp_path_factory.mktemp("registered")
    config = configured(workspace)
    registry = Registry.open(config)
    for seed in range(3):
        model = small_model(seed=seed)
        save_bundle(model, workspace / f"bundle-{seed}", contract_of(model, "", {}, {}))
        registry.register(workspace / f"bundle-{seed}")
    point(config, Alias.CHAMPION, 1)
    return workspace


def overrides(workspace: Path) -> list[str]:
    return [
        f"workspace={workspace}",
        "cut.min_chars=3",
        *(f"serving.{name}.cpus=0.1" for name in NODES),
        "serving.rollout.sync_s=0.2",
    ]


def configured(workspace: Path, *more: str) -> RunConfig:
    return load_config(None, [*overrides(workspace), *more])


def point(config: RunConfig, alias: Alias, number: int) -> None:
    registry = Registry.open(config)
    registry.point(alias, registry.find(str(number)))


def deployed(config: RunConfig) -> AliasFollower:
    """The application, as `persona-ray serve` runs it, and who follows its aliases."""
    champion, version = choose_bundle(config), uuid.uuid4().hex

    def run(choice: BundleChoice, challenger: BundleChoice | None) -> None:
        serve.run(
            build_for(config, choice, challenger, version=version),
            name=NAME,
            route_prefix=f"/{NAME}",
        )

    challenger = choose_challenger(config, champion)
    run(champion, challenger)
    return AliasFollower(
        config, RegistryVersions(config), RunDeployments(champion, challenger, run)
    )


def wav() -> bytes:
    file = io.BytesIO()
    soundfile.write(file, clips()[0].samples, RATE_HZ, format="WAV")
    return file.getvalue()


def session(workspace: Path) -> requests.Session:
    """Of a client with a key."""
    with open_store(configured(workspace).store_url) as store:
        token = store.keys.create(
            "test", ["recognise", "models"], requests_per_minute=1_000_000
        ).token
    opened = requests.Session()
    opened.headers["authorization"] = f"Bearer {token}"
    return opened


def ask(client: requests.Session, address: str) -> dict[str, Any]:
    answer = client.post(
        f"{address}/v1/recognitions/clips",
        files={"files": ("a.wav", wav())},
        data={"texts": TEXT},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown_by(client: requests.Session, address: str) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"{address}/v1/rollout", timeout=60).json()
    return found


@contextmanager
def traffic(address: str, workspace: Path, streams: int = 3) -> Iterator[list[dict[str, Any]]]:
    """Requests on end; each must be answered, or the block fails."""
    over = threading.Event()
    answers: list[dict[str, Any]] = []

    def stream() -> None:
        with session(workspace) as client:
            while not over.is_set():
                answers.append(ask(client, address))

    with ThreadPoolExecutor(streams) as pool:
        running = [pool.submit(stream) for _ in range(streams)]
        try:
            eventually(lambda: len(answers) >= streams or any(one.done() for one in running))
            yield answers
        finally:
            over.set()
        for one in running:
            one.result()


def eventually(true: Callable[[], bool], within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.05)


def replicas() -> set[str]:
    named = ray.util.list_named_actors(all_namespaces=True)
    return {one["name"] for one in named if f"{NAME}#" in one["name"]}


def versions(answers: list[dict[str, Any]]) -> Counter[str]:
    return Counter(answer["model"]["version"] for answer in answers)


def test_a_promoted_version_takes_over_under_traffic(address: str, registered: Path) -> None:
    config = configured(registered)
    follower = deployed(config)
    before = replicas()
    with traffic(address, registered) as answers:
        assert follower.check() == ()
        point(config, Alias.CHAMPION, 2)
        assert follower.check() == ("champion",)
        eventually(lambda: answers[-1]["model"]["version"] == "2")
        after = len(answers)
        eventually(lambda: len(answers) >= after + 20)
    seen = [answer["model"]["version"] for answer in answers]
    assert set(seen) == {"1", "2"}
    assert set(seen[after:]) == {"2"}
    # What a version answers is its own, whenever it is asked.
    told = {
        (a["model"]["version"], round(a["together"]["probabilities"]["red"], 4)) for a in answers
    }
    assert len(told) == 2
    assert replicas() == before, "no replica was started anew, the ingress neither"
    point(config, Alias.CHAMPION, 1)


@pytest.mark.drill
def test_a_shadow_is_never_returned_and_gives_way_when_it_is_promoted(
    address: str, registered: Path
) -> None:
    config = configured(
        registered,
        "serving.rollout.challenger=models:/persona@challenger",
        "serving.rollout.shadow_share=1",
        "serving.rollout.max_disagreement=1",
        "serving.rollout.max_slowdown=100",
    )
    # The alias names nothing yet.
    follower = deployed(config)
    with session(registered) as client:
        assert ask(client, address)["model"]["version"] == "1"
        eventually(lambda: shown_by(client, address)["state"] == "same")
        point(config, Alias.CHALLENGER, 3)
        assert follower.check() == ("challenger_",)
        with traffic(address, registered) as answers:
            eventually(lambda: shown_by(client, address)["counts"].get("pairs", 0) >= 30)
        shown = shown_by(client, address)
        assert (shown["champion"], shown["challenger"]) == ("persona/1", "persona/3")
        assert shown["counts"]["challenger_failed"] == shown["counts"]["champion_failed"] == 0
        assert shown["counts"]["shadows"] >= shown["counts"]["pairs"]
        assert versions(answers) == {"1": len(answers)}
        Registry.open(config).release(Alias.CHALLENGER)
        point(config, Alias.CHAMPION, 3)
        follower.check()
        eventually(lambda: ask(client, address)["model"]["version"] == "3")
        eventually(lambda: shown_by(client, address)["state"] == "same")
    point(config, Alias.CHAMPION, 1)


@pytest.mark.drill
def test_an_application_of_serve_deploy_follows_its_aliases_by_itself(
    address: str, registered: Path
) -> None:
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    config = configured(registered)
    application = {
        "name": NAME,
        "route_prefix": f"/{NAME}",
        "import_path": "persona_ray.apps.personality:build",
        "args": {"set": [*overrides(registered), "serving.rollout.poll_s=0.5"]},
    }
    # What `serve deploy` sends to the dashboard, which the tests' cluster has none of.
    schema = ServeDeploySchema.model_validate({"applications": [application]})
    _get_global_client().deploy_apps(schema)
    eventually(lambda: serve.status().applications[NAME].status == "RUNNING", 90)
    before = replicas()
    with traffic(address, registered) as answers:
        assert answers[0]["model"]["version"] == "1"
        point(config, Alias.CHAMPION, 2)
        eventually(lambda: answers[-1]["model"]["version"] == "2")
    assert versions(answers).keys() == {"1", "2"}
    assert replicas() == before
    point(config, Alias.CHAMPION, 1)
    with session(registered) as client:
        eventually(lambda: ask(client, address)["model"]["version"] == "1")


class Broken:
    """A challenger that can say what it is, and nothing else."""

    async def model(self) -> Any:
        from persona_ray.serving.service import ServedModel

        return ServedModel("persona", "broken", ("red", "blue"), True, True, RATE_HZ)

    async def judge(self, heard: Any) -> Any:
        raise RuntimeError(f"no kernel image is available: {type(heard).__name__}")


def test_a_challenger_that_raises_is_taken_back_and_every_caller_is_answered(
    address: str, registered: Path
) -> None:
    config = configured(
        registered, "serving.rollout.canary_share=0.5", "serving.rollout.min_requests=20"
    )
    champion = Served(choose_bundle(config), True, True)
    nodes = Graph(config, find_bundle).models(champion)
    ingress = serve.deployment(IngressDeployment).options(
        name="ingress", max_ongoing_requests=100, ray_actor_options={"num_cpus": 0.1}
    )
    # Clips come with their texts: nothing is to be written down.
    deployment = serve.deployment(Broken).options(ray_actor_options={"num_cpus": 0.1})
    asr = deployment.options(name="asr").bind()
    broken = deployment.options(name="broken").bind()
    app = ingress.bind(config, make_app, asr, nodes, {"fused": broken})
    serve.run(app, name=NAME, route_prefix=f"/{NAME}")
    with session(registered) as client:

        def state() -> str:
            return str(shown_by(client, address)["state"])

        assert state() == "running"
        with traffic(address, registered) as answers:
            eventually(lambda: state() == "rolled_back")
            after = len(answers)
            eventually(lambda: len(answers) >= after + 20)
        shown = shown_by(client, address)
        assert versions(answers) == {"1": len(answers)}
        assert shown["reason"].startswith("errors: it failed in ")
        assert shown["canary_share"] == 0.0
        assert 20 <= shown["counts"]["challenger_failed"] == shown["counts"]["pairs"] < 80
        assert shown["counts"]["fallbacks"] >= shown["counts"]["pairs"]
        # Started anew, the service knows it still.
        serve.run(app, name=NAME, route_prefix=f"/{NAME}")
        assert state() == "rolled_back"
