"""The simulator against queues whose answers are known."""

from __future__ import annotations

import math
import random

import pytest
import simpy

from benchmarks.capacity.engine import Course, Pool, Processors, Scale

RATE = 1.0


def run(
    arrivals_per_s: float,
    demands: random.Random,
    pool: Pool,
    env: simpy.Environment,
    count: int,
    exponential: bool,
    demand_s: float = 1.0,
) -> tuple[list[float], float]:
    """Times in the system of `count` tasks, and the mean number in it."""
    times: list[float] = []
    area = 0.0

    def task() -> Course:
        nonlocal area
        began = env.now
        yield pool.ask(demands.expovariate(1 / demand_s) if exponential else demand_s)
        times.append(env.now - began)
        area += env.now - began

    def source() -> Course:
        for _ in range(count):
            yield env.timeout(demands.expovariate(arrivals_per_s))
            env.process(task())

    env.process(source())
    env.run()
    return times, area / env.now


def own_processor(env: simpy.Environment) -> Pool:
    return Pool(env, lambda: Processors(env, 1.0), Scale(), 1, 10**9)


@pytest.mark.parametrize(("load", "exponential"), [(0.5, True), (0.8, True), (0.8, False)])
def test_one_server(load: float, exponential: bool) -> None:
    env = simpy.Environment()
    times, _ = run(load, random.Random(1), own_processor(env), env, 12_000, exponential)
    # Pollaczek and Khinchine: W = S + load S (1 + cv^2) / (2 (1 - load)).
    expected = 1 + load * (2 if exponential else 1) / (2 * (1 - load))
    assert sum(times) / len(times) == pytest.approx(expected, rel=0.08)


def test_several_servers() -> None:
    servers, load = 3, 0.8
    env = simpy.Environment()
    pool = Pool(env, lambda: Processors(env, 1.0), Scale(least=servers), 1, 10**9)
    times, _ = run(servers * load, random.Random(2), pool, env, 12_000, True)
    # Erlang's C.
    offered = servers * load
    last = offered**servers / math.factorial(servers) / (1 - load)
    waits = last / (sum(offered**k / math.factorial(k) for k in range(servers)) + last)
    expected = 1 + waits / (servers * (1 - load))
    assert sum(times) / len(times) == pytest.approx(expected, rel=0.08)


def test_processor_sharing() -> None:
    """M/G/1 with processor sharing: W = S / (1 - load), whatever the demands' distribution."""
    env = simpy.Environment()
    cpu, random_ = Processors(env, 1.0), random.Random(3)
    times: list[float] = []
    demands = random_.choices((0.5, 1.5), k=12_000)

    def task(demand: float) -> Course:
        began = env.now
        yield cpu.work(demand)
        times.append(env.now - began)

    def source() -> Course:
        for demand in demands:
            yield env.timeout(random_.expovariate(0.7))
            env.process(task(demand))

    env.process(source())
    env.run()
    assert sum(times) / len(times) == pytest.approx(1 / 0.3, rel=0.08)
    assert cpu.busy_s == pytest.approx(sum(demands))


def test_littles_law() -> None:
    env = simpy.Environment()
    times, inside = run(0.7, random.Random(4), own_processor(env), env, 5_000, True)
    rate = len(times) / env.now
    assert inside == pytest.approx(rate * sum(times) / len(times))


def test_a_full_queue_refuses_and_a_death_loses_nothing_the_first_time() -> None:
    env = simpy.Environment()
    pool = Pool(env, lambda: Processors(env, 1.0), Scale(), 1, 2)
    answers: list[bool] = []

    def task() -> Course:
        answered = yield pool.ask(1.0)
        answers.append(bool(answered))

    for _ in range(5):
        env.process(task())
    env.run()
    assert (sorted(answers), pool.refused) == ([False, False, True, True, True], 2)

    env = simpy.Environment()
    pool = Pool(env, lambda: Processors(env, 1.0), Scale(least=2, start_s=3), 1, 10**6, seed=5)
    answers.clear()

    def source() -> Course:
        for number in range(1000):
            yield env.timeout(2.0)
            env.process(task())
            if number % 10 == 0:
                pool.kill(pool.replicas[0])

    env.process(source())
    env.run()
    assert len(answers) == 1000
    assert answers.count(False) == pool.lost == 0
    assert len(pool.replicas) == 2


def test_what_dies_twice_is_lost() -> None:
    env = simpy.Environment()
    pool = Pool(env, lambda: Processors(env, 1.0), Scale(start_s=3), 1, 1)
    done = pool.ask(10.0)

    def killer() -> Course:
        yield env.timeout(1.0)
        pool.kill(pool.replicas[0])
        yield env.timeout(5.0)
        pool.kill(pool.replicas[0])

    env.process(killer())
    env.run()
    assert (done.value, pool.lost, len(pool.replicas)) == (False, 1, 1)


def test_replicas_come_and_go_with_what_is_asked() -> None:
    env = simpy.Environment()
    scale = Scale(least=1, most=4, target=1, look_back_s=5, up_s=2, down_s=10, start_s=4)
    pool = Pool(env, lambda: Processors(env, 1.0), scale, 2, 10**6)

    def source() -> Course:
        for _ in range(120):
            yield env.timeout(0.5)
            pool.ask(1.5)

    env.process(source())
    env.run(until=60)
    assert max(size for _, size in pool.sizes) == 4
    env.run(until=200)
    assert len(pool.replicas) == 1
