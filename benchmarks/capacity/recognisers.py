"""How long sentences wait for a recogniser, by simulation: how busy recognisers may be, and what a
death or a rush of calls costs then. `python -m benchmarks.capacity headroom`, `... faults`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from benchmarks.capacity.engine import Course, Pool, Processors, Scale
from benchmarks.shared import markdown

WAIT_S = 0.5
_SENTENCES = 8000
# A fault comes after a while of calm; the sentences of so many seconds from then on are looked at.
_CALM_S, _LOOKED_AT_S = 60.0, 120.0
# So many sentences are looked at in all, in as many runs as that takes.
_FAULTY = 20_000
Times = NDArray[np.float64]


def headroom(servers: int, sentence_s: float) -> float:
    """The largest share that so many recognisers may be busy while 95 % of the sentences wait at
    most half a second for one."""
    best = 0.0
    for percent in range(20, 100, 5):
        random = np.random.default_rng(servers)
        demands_s = _demands(random, sentence_s, _SENTENCES)
        gaps_s = random.exponential(100 * sentence_s / (servers * percent), _SENTENCES)
        if np.quantile(waits(np.cumsum(gaps_s), demands_s, Scale(servers)), 0.95) > WAIT_S:
            break
        best = percent / 100
    return best


def faults(costs: Mapping[str, Any]) -> str:
    """Markdown: at the shares of `busy_share`, what becomes of sentences when one recogniser dies,
    and when twice as many calls come as were planned."""
    rows = []
    sentence_s = costs["sentence_s"]
    for servers, share in costs["busy_share"].items():
        per_s = servers * share / sentence_s
        usual, grows = Scale(servers, servers), Scale(servers, 2 * servers)
        rows.append(
            [
                f"{servers}",
                f"{100 * share:.0f} %",
                _said(_after(usual, per_s, per_s, sentence_s, 1)),
                _said(_after(usual, per_s, 2 * per_s, sentence_s, 0)),
                _said(_after(grows, per_s, 2 * per_s, sentence_s, 0)),
            ]
        )
    heads = ["recognisers", "busy", "one dies", "twice the calls", "and twice as many may start"]
    return markdown(heads, rows)


def _after(scale: Scale, before: float, after: float, sentence_s: float, deaths: int) -> Times:
    """Seconds that sentences wait which come after the fault; so many a second before and after."""
    found = []
    for seed in range(max(1, round(_FAULTY / (after * _LOOKED_AT_S)))):
        random = np.random.default_rng(seed)
        calm = random.uniform(0, _CALM_S, random.poisson(before * _CALM_S))
        looked = random.uniform(0, _LOOKED_AT_S, random.poisson(after * _LOOKED_AT_S))
        arrivals_s = np.sort(np.concatenate([calm, _CALM_S + looked]))
        demands_s = _demands(random, sentence_s, len(arrivals_s))
        waited = waits(arrivals_s, demands_s, scale, [_CALM_S] * deaths)
        found.append(waited[arrivals_s > _CALM_S])
    return np.concatenate(found)


def _said(waited: Times) -> str:
    late = float(np.mean(waited > WAIT_S))
    return f"{100 * late:.0f} % late, p95 {np.quantile(waited, 0.95):.1f} s"


def _demands(random: np.random.Generator, sentence_s: float, count: int) -> Times:
    """Sentences of unlike length: a deviation of half the mean."""
    return random.gamma(4.0, sentence_s / 4.0, count)


def waits(
    arrivals_s: Times, demands_s: Times, scale: Scale, deaths_s: list[float] | None = None
) -> Times:
    """Seconds that each sentence waits for a recogniser with a core of its own."""
    env = simpy.Environment()
    pool = Pool(env, lambda: Processors(env, 1.0), scale, 1, len(arrivals_s))
    waited = np.zeros(len(arrivals_s))

    def one(number: int, at: float, demand: float) -> Course:
        yield env.timeout(at)
        yield pool.ask(demand)
        waited[number] = env.now - at - demand

    def death(at: float) -> Course:
        yield env.timeout(at)
        pool.kill(pool.replicas[0])

    for at in deaths_s or ():
        env.process(death(at))
    sentences = zip(arrivals_s.tolist(), demands_s.tolist(), strict=True)
    ends = [env.process(one(number, *sentence)) for number, sentence in enumerate(sentences)]
    env.run(until=env.all_of(ends))
    return waited
