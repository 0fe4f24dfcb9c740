"""One deployment for the whole model, or one for each part of it?

    python -m benchmarks.serving_hops --set workspace=runs/demo

Clips of the corpus, with their text, are asked of three arms by turns: the model in one process
(two threads, nothing in between), two fused replicas, and the parts apart (two speech encoders, a
text encoder, a classifier). Each replica's model has one thread; all share the same processors.
Printed are the medians over as many rounds as fit `--seconds`: clips a second, and the median time
of a request. Environment variables of Serve (RAY_SERVE_THROUGHPUT_OPTIMIZED=1) count for the run.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.shared import arguments
from persona_ray.config import RunConfig, load_config
from persona_ray.inference.clips import ClipInput

if TYPE_CHECKING:
    from persona_ray.inference.judge import Judge
    from persona_ray.serving.deploy.deployed import DeployedService

Ask = Callable[[Sequence[ClipInput]], Awaitable[object]]
CLIPS = 16


@dataclass(frozen=True)
class Load:
    """`clients` at a time, each asking for `per_request` clips and waiting for the answer."""

    clients: int
    per_request: int

    def __str__(self) -> str:
        return f"{self.clients} x {self.per_request}"


LOADS = (Load(1, 1), Load(8, 1))


def some_clips(config: RunConfig) -> list[ClipInput]:
    """Of the corpus, evenly from its whole length."""
    from persona_ray.corpus.dataset import CorpusDataset

    dataset = CorpusDataset.open(config.corpus_dir)
    infos = list(dataset.infos())
    chosen = infos[:: max(1, len(infos) // CLIPS)][:CLIPS]
    rate_hz = dataset.sample_rate_hz
    return [ClipInput(dataset.samples(info.clip_id), rate_hz, info.text) for info in chosen]


async def measured(ask: Ask, clips: Sequence[ClipInput], load: Load) -> tuple[float, float]:
    """Clips a second, and the median seconds of a request."""
    step = load.per_request
    waiting = [clips[start : start + step] for start in range(0, len(clips), step)]
    seconds: list[float] = []

    async def client() -> None:
        while waiting:
            asked = waiting.pop()
            began = time.perf_counter()
            await ask(asked)
            seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(load.clients)))
    return len(clips) / (time.perf_counter() - began), statistics.median(seconds)


def in_process(judge: Judge) -> Ask:
    pool = ThreadPoolExecutor(2)

    async def ask(clips: Sequence[ClipInput]) -> object:
        return await asyncio.get_running_loop().run_in_executor(pool, judge.judge, clips)

    return ask


def deployed(config: RunConfig, name: str) -> DeployedService:
    from ray import serve

    from persona_ray.apps.bundles import choose_bundle
    from persona_ray.apps.personality import build_for
    from persona_ray.serving.deploy.deployed import DeployedService, Handles

    serve.run(build_for(config, choose_bundle(config)), name=name, route_prefix=f"/{name}")
    there = [one for one in serve.status().applications[name].deployments if one != "ingress"]
    return DeployedService(
        Handles(**{one: serve.get_deployment_handle(one, name) for one in there})
    )


def mean_s(clips: Sequence[ClipInput]) -> float:
    """Length of a clip."""
    return statistics.mean(
        len(clip.samples) / clip.sample_rate_hz for clip in clips if clip.samples is not None
    )


async def compare(arms: dict[str, Ask], clips: Sequence[ClipInput], seconds: float) -> None:
    found: dict[tuple[str, Load], list[tuple[float, float]]] = {}
    for ask in arms.values():
        await measured(ask, clips, LOADS[1])
    until, done = time.monotonic() + seconds, 0
    while not done or time.monotonic() < until:
        for load in LOADS:
            for name, ask in arms.items():
                found.setdefault((name, load), []).append(await measured(ask, clips, load))
        done += 1
    print(f"{done} rounds of {len(clips)} clips, {mean_s(clips):.1f} s of audio on average")
    print(f"{'clients x clips':<16}{'arm':<12}{'clips/s':>9}{'p50 ms':>9}")
    for (name, load), rounds in sorted(found.items(), key=lambda one: LOADS.index(one[0][1])):
        rate, p50 = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"{load!s:<16}{name:<12}{rate:9.1f}{1000 * p50:9.1f}")


def main() -> None:
    import logging

    import torch
    from ray import serve

    from persona_ray.apps.bundles import choose_bundle, find_bundle
    from persona_ray.inference.judge import Judge
    from persona_ray.launch.cluster import connect

    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=90.0, help="of measuring")
    given = parser.parse_args()
    two = [f"serving.speech.{end}_replicas=2" for end in ("min", "max")]
    # Logical processors only say who may stand beside whom: here all may.
    two += [f"serving.{one}.cpus=0.1" for one in ("ingress", "asr", "speech", "text", "classifier")]
    config = load_config(given.config, [*given.overrides, *two, "serving.layout=fused"])
    apart = load_config(given.config, [*given.overrides, *two, "serving.layout=split"])
    clips = some_clips(config)
    torch.set_num_threads(1)
    judge = Judge.load(find_bundle(config, choose_bundle(config)), config.audio.min_level_db, "cpu")
    with connect(config.launch):
        serve.start(proxy_location="Disabled")
        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        arms = {
            "one process": in_process(judge),
            "fused": deployed(config, "fused").clips,
            "split": deployed(apart, "split").clips,
        }
        optimised = os.environ.get("RAY_SERVE_THROUGHPUT_OPTIMIZED", "0")
        print(f"RAY_SERVE_THROUGHPUT_OPTIMIZED={optimised}", flush=True)
        asyncio.run(compare(arms, clips, given.seconds))


if __name__ == "__main__":
    main()
