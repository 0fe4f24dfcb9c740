"""The service on the shared cluster: fixtures of Serve and of bundles, applications, replicas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import requests
from ray import serve

from persona_ray.apps.bundles import choose_bundle
from persona_ray.apps.personality import build_for
from persona_ray.config import RunConfig, load_config
from persona_ray.inference.clips import ClipRecognition
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.serving.deploy.deployed import DeployedService, Handles
from persona_ray.serving.service import Answered, PersonalityService
from tests.unit.inference.test_personality import clips
from tests.unit.models.test_bimodal import small_model

PORT = 18_653
CALL = "demo/archive/audio/2026-02/K00046.ogg"
NODES = ("whole", "fused", "speech", "text", "classifier")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two bundles with the same towers and other weights."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed in (0, 1):
        model = small_model(seed=seed)
        save_bundle(model, folder / str(seed), contract_of(model, "", {}, {}))
    return folder / "0", folder / "1"


@pytest.fixture(scope="module")
def started(ray_cluster: str) -> Iterator[str]:
    """Serve; the address of its proxy."""
    del ray_cluster
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": PORT})
    yield f"http://127.0.0.1:{PORT}"
    serve.shutdown()


def configured(workspace: Path, bundle: Path, *overrides: str) -> RunConfig:
    return load_config(
        None,
        [
            f"workspace={workspace}",
            f"serving.bundle={bundle}",
            "serving.keys.required=false",
            "tracking.url=off",
            "cut.min_chars=3",
            "cut.max_clip_s=6",
            "archive.audio_root=",
            *(f"serving.{name}.cpus=0.1" for name in ("ingress", "asr", *NODES[2:])),
            *overrides,
        ],
    )


def deploy(config: RunConfig, name: str, bundle: Path) -> DeployedService:
    choice = choose_bundle(config, str(bundle))
    serve.run(build_for(config, choice, version=name), name=name, route_prefix=f"/{name}")
    there = serve.status().applications[name].deployments
    handles = {one: serve.get_deployment_handle(one, name) for one in NODES if one in there}
    asr = handles.get("whole") or serve.get_deployment_handle("asr", name)
    return DeployedService(Handles(asr, **handles))


def routed(address: str, name: str) -> None:
    """Serve tells its proxy of an application a moment after it runs: until then."""
    until = time.monotonic() + 30
    while requests.get(f"{address}/{name}/health", timeout=60).status_code != 200:
        assert time.monotonic() < until
        time.sleep(0.1)


def replicas(app: str, deployment: str) -> list[str]:
    """Names of the living replicas' actors."""
    named = ray.util.list_named_actors(all_namespaces=True)
    return [one["name"] for one in named if f"{app}#{deployment}#" in one["name"]]


def kill(app: str, deployment: str) -> None:
    name = replicas(app, deployment)[0]
    ray.kill(ray.get_actor(name, namespace="serve"), no_restart=True)


@asynccontextmanager
async def traffic(
    service: PersonalityService, streams: int = 4
) -> AsyncIterator[list[Answered[list[ClipRecognition]]]]:
    """Requests on end, in the block and until what was begun there is answered."""
    answers: list[Answered[list[ClipRecognition]]] = []
    over = asyncio.Event()
    asked = clips()[:5]

    async def stream() -> None:
        while not over.is_set():
            answers.append(await service.clips(asked))

    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(stream())
        await eventually(lambda: len(answers) >= streams)
        yield answers
        over.set()


async def eventually(true: Callable[[], object], within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until, "it did not come to be"
        await asyncio.sleep(0.05)


async def more(answers: Sequence[Any], count: int) -> None:
    """So many more than there are."""
    wanted = len(answers) + count
    await eventually(lambda: len(answers) >= wanted)
