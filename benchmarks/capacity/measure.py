"""The real service on this machine: what its stages cost, then open-loop load.

Costs are taken with one client, which sends each distinct request several times and waits for the
answer: nothing of the load that is predicted from them.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import numpy as np

from benchmarks.capacity.system import Costs, Machine, Outcome
from benchmarks.serving_arms import PRODUCT, Arm, Place, Settings, prepare_alone
from benchmarks.serving_client import TIMEOUT_S, form
from benchmarks.serving_requests import Request, read
from persona_ray.serving.service import HEARING, JUDGING

REPEATS, IDLE_S, PAUSE_S = 4, 8.0, 0.15
_FIELDS = {"file": "files", "text": "texts", "channel": "channel"}
# Of the stages that an answer tells, those that are in the replica.
_IN_REPLICA = (HEARING, JUDGING)
# How the process that has the model is called, behind the application's name.
_REPLICA = ":whole"


@dataclass(frozen=True)
class Measured:
    """What the model is given: costs of one kind of request, and the machine."""

    costs: Costs
    machine: Machine


class Service:
    """`persona-ray serve` with so many replicas of the model, ended by `end`."""

    def __init__(self, config: Path, overrides: Sequence[str], folder: Path, replicas: int) -> None:
        place = Place(config, tuple(overrides), folder, None)
        if not (folder / "requests.json").is_file():
            prepare_alone(place)
        fixed = [f"serving.speech.{end}_replicas={replicas}" for end in ("min", "max")]
        environment = (("RAY_worker_niceness", "0"),)
        self.arm = Arm(
            Settings(PRODUCT, f"{replicas}", overrides=tuple(fixed), environment=environment), place
        )
        self.arm.wait()
        self.requests = read(folder)
        self.url = f"http://127.0.0.1:{self.arm.port}/v1/recognitions/clips"

    def end(self) -> None:
        self.arm.end()

    def measure(self, kind: str) -> Measured:
        """One client, which pauses between requests as callers do; each distinct one `REPEATS`
        times, after a first round to warm up."""
        distinct = self.requests[kind]
        asyncio.run(_sequence(self.url, distinct))
        before, began = self.arm.used_s(), time.perf_counter()
        time.sleep(IDLE_S)
        idle_s = _grown(before, self.arm.used_s())
        idle_share = {name: used / (time.perf_counter() - began) for name, used in idle_s.items()}
        mine, before, began = time.process_time(), self.arm.used_s(), time.perf_counter()
        rounds = [asyncio.run(_sequence(self.url, distinct, pauses=True)) for _ in range(REPEATS)]
        passed, grown = time.perf_counter() - began, _grown(before, self.arm.used_s())
        count = REPEATS * len(distinct)
        client_s = (time.process_time() - mine) / count
        each = {
            name: max(0.0, used - idle_share.get(name, 0.0) * passed) / count
            for name, used in grown.items()
        }
        replica_s = sum(used for name, used in each.items() if name.endswith(_REPLICA))
        around_s = client_s + sum(each.values()) - replica_s
        # Medians of each request, since others use the machine now and then.
        whole = [statistics.median(column) for column in _columns(rounds, 0)]
        inside = [statistics.median(column) for column in _columns(rounds, 1)]
        # What a request waits for in the replica without a processor is no work of it.
        working = min(1.0, replica_s / statistics.mean(inside))
        way_s = statistics.mean(whole) - working * statistics.mean(inside) - around_s
        costs = Costs(
            around_s=around_s,
            way_s=max(0.0, way_s),
            replica_s=tuple(working * seconds for seconds in inside),
        )
        return Measured(costs, Machine(os.cpu_count() or 1, sum(idle_share.values())))

    def load(self, kind: str, arrivals_s: Sequence[float]) -> Outcome:
        """The requests in turn, sent when they are due, whether others were answered or not."""
        return asyncio.run(_open_loop(self.url, self.requests[kind], arrivals_s))


def _grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {name: used - before.get(name, 0.0) for name, used in after.items()}


async def _sequence(
    url: str, requests: Sequence[Request], pauses: bool = False
) -> list[tuple[float, float]]:
    """Seconds of each request, and of those the seconds in the replica."""
    found = []
    random = np.random.default_rng(0)
    async with aiohttp.ClientSession() as session:
        for asked in requests:
            if pauses:
                await asyncio.sleep(random.exponential(PAUSE_S))
            began = time.perf_counter()
            async with session.post(url, data=form(asked, _FIELDS)) as response:
                body = json.loads(await response.read())
            seconds = time.perf_counter() - began
            stages: dict[str, float] = defaultdict(float, body.get("timings_s", {}))
            found.append((seconds, sum(stages[name] for name in _IN_REPLICA)))
    return found


async def _open_loop(url: str, requests: Sequence[Request], arrivals_s: Sequence[float]) -> Outcome:
    outcome = Outcome()
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        began = time.perf_counter()

        async def one(number: int, at: float) -> None:
            await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
            asked = requests[number % len(requests)]
            try:
                async with session.post(url, data=form(asked, _FIELDS)) as response:
                    await response.read()
                    answered = response.status == 200
            except (aiohttp.ClientError, TimeoutError):
                answered = False
            now = time.perf_counter() - began
            if answered:
                # From when it was due: a client that is late is part of the wait.
                outcome.latencies_s.append(now - at)
                outcome.seconds = now - arrivals_s[0]
            else:
                outcome.refused += 1

        await asyncio.gather(*(one(number, at) for number, at in enumerate(arrivals_s)))
    return outcome


def _columns(rounds: Sequence[Sequence[tuple[float, float]]], which: int) -> list[list[float]]:
    return [[row[which] for row in column] for column in zip(*rounds, strict=True)]
