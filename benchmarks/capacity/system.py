"""A request's way through the service on one machine, replayed arrival by arrival.

    client, proxy, ingress        processor time, before and after
    way                           what no processor is used for: sockets, event loops, wake-ups
    replica                       the model, one request at a time (decision 0046 says why)

All share the machine's cores; what Ray does when nothing is asked is taken off them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from benchmarks.capacity.engine import Course, Pool, Processors, Scale


@dataclass(frozen=True)
class Costs:
    """Of one kind of request. `around_s`: processor seconds of client, proxy and ingress; `way_s`:
    without any; `replica_s`: seconds in the replica of each distinct request."""

    around_s: float
    way_s: float
    replica_s: tuple[float, ...]


@dataclass(frozen=True)
class Machine:
    """`idle_share`: of one core, used whatever is asked."""

    cores: float
    idle_share: float = 0.0

    @property
    def left(self) -> float:
        return self.cores - self.idle_share


@dataclass
class Outcome:
    """Seconds of answered requests, how many were not, and seconds from first to last."""

    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return len(self.latencies_s) / self.seconds

    def quantile(self, share: float) -> float:
        return float(np.quantile(self.latencies_s, share))


def replay(
    arrivals_s: Sequence[float],
    costs: Costs,
    machine: Machine,
    scale: Scale,
    ongoing: int,
    queued: int,
) -> Outcome:
    """Requests that come at `arrivals_s`, the distinct ones in turn."""
    env = simpy.Environment()
    cpu = Processors(env, machine.left)
    pool = Pool(env, lambda: cpu, scale, ongoing, queued)
    outcome = Outcome()

    def request(number: int, at: float) -> Course:
        yield env.timeout(at)
        # Half of the way before the model and half after it.
        for half in (0, 1):
            yield cpu.work(costs.around_s / 2)
            yield env.timeout(costs.way_s / 2)
            if half == 0:
                answered = yield pool.ask(costs.replica_s[number % len(costs.replica_s)])
                if not answered:
                    outcome.refused += 1
                    return
        outcome.latencies_s.append(env.now - at)
        outcome.seconds = env.now - arrivals_s[0]

    for number, at in enumerate(arrivals_s):
        env.process(request(number, at))
    env.run()
    return outcome


def poisson(rate_per_s: float, seconds: float, seed: int) -> list[float]:
    """Times of arrivals of a Poisson process, in seconds from 0."""
    random = np.random.default_rng(seed)
    return np.sort(random.uniform(0, seconds, random.poisson(rate_per_s * seconds))).tolist()
