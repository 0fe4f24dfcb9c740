"""The parts of a simulated service, on simpy's clock (seconds)."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import simpy

# What simpy runs: it waits for what it yields.
Course = Generator[simpy.Event, Any, None]


class Processors:
    """`cores` that all running tasks share alike; a task has one thread, so it gets at most one
    core (processor sharing; Kleinrock 1976, Queueing Systems II, section 4.4).

    Kept in virtual time: each task gets the same share, so one that comes with `demand_s` ends
    when the share that everybody has had since has grown by that much.
    """

    def __init__(self, env: simpy.Environment, cores: float) -> None:
        self._env = env
        self._cores = cores
        self._share_s = 0.0
        self._at = env.now
        self._running: list[tuple[float, int, simpy.Event]] = []
        self._numbers = itertools.count()
        self._plan = 0
        self.busy_s = 0.0

    def work(self, demand_s: float) -> simpy.Event:
        """Happens when a task that needs `demand_s` seconds of a core has had them."""
        self._advance()
        done = self._env.event()
        heapq.heappush(self._running, (self._share_s + demand_s, next(self._numbers), done))
        self._replan()
        return done

    def _rate(self) -> float:
        return min(1.0, self._cores / len(self._running)) if self._running else 0.0

    def _advance(self) -> None:
        passed = self._env.now - self._at
        self._share_s += passed * self._rate()
        self.busy_s += passed * min(self._cores, len(self._running))
        self._at = self._env.now

    def _replan(self) -> None:
        self._plan += 1
        if self._running:
            wait = max(0.0, (self._running[0][0] - self._share_s) / self._rate())
            self._env.process(self._wake(wait, self._plan))

    def _wake(self, wait_s: float, plan: int) -> Course:
        yield self._env.timeout(wait_s)
        if plan != self._plan:
            return
        self._advance()
        # What rounding leaves of a task is no task.
        while self._running and self._running[0][0] <= self._share_s + 1e-9:
            heapq.heappop(self._running)[2].succeed()
        self._replan()


@dataclass(frozen=True)
class Scale:
    """How a deployment grows, as Ray Serve does it: the mean of what is asked over `look_back_s`
    against `target` a replica, looked at every `every_s`; a change that is wanted for a delay is
    made. A replica that is added answers after `start_s`."""

    least: int = 1
    most: int = 1
    target: float = 4.0
    look_back_s: float = 15.0
    every_s: float = 1.0
    up_s: float = 5.0
    down_s: float = 120.0
    start_s: float = 15.0


@dataclass
class Task:
    """`demand_s` seconds of a core; `done` says whether it was answered."""

    demand_s: float
    done: simpy.Event
    attempts: int = 1


@dataclass
class Replica:
    """`queue` is what it took; it works on the first of them."""

    processors: Processors
    queue: deque[Task] = field(default_factory=deque)
    alive: bool = True
    wakes: simpy.Event | None = None


class Pool:
    """Replicas of one deployment and the queue before them.

    A replica holds at most `ongoing` tasks, one after the other; `queued` more may wait, and others
    are refused.
    """

    def __init__(
        self,
        env: simpy.Environment,
        place: Callable[[], Processors],
        scale: Scale,
        ongoing: int,
        queued: int,
        seed: int = 0,
    ) -> None:
        self._env = env
        self._place = place
        self._scale = scale
        self._ongoing = ongoing
        self._queued = queued
        self._waiting: deque[Task] = deque()
        self._random = random.Random(seed)
        self.replicas: list[Replica] = []
        self.sizes: list[tuple[float, int]] = []
        self.refused = self.lost = 0
        self._starting = 0
        for _ in range(scale.least):
            self._add()
        if scale.most > scale.least:
            env.process(self._autoscale())

    def ask(self, demand_s: float) -> simpy.Event:
        """Happens with True when it was answered, False when it was refused or lost."""
        task = Task(demand_s, self._env.event())
        self._take(task)
        return task.done

    @property
    def asked(self) -> int:
        """Tasks under way and waiting."""
        return len(self._waiting) + sum(len(replica.queue) for replica in self.replicas)

    def _take(self, task: Task) -> None:
        free = [one for one in self.replicas if len(one.queue) < self._ongoing]
        if free:
            # Two are looked at, the less busy one is taken: power of two choices.
            some = self._random.sample(free, min(2, len(free)))
            self._give(min(some, key=lambda one: len(one.queue)), task)
        elif len(self._waiting) < self._queued:
            self._waiting.append(task)
        else:
            self.refused += 1
            task.done.succeed(False)

    def _give(self, replica: Replica, task: Task) -> None:
        replica.queue.append(task)
        if replica.wakes is not None and not replica.wakes.triggered:
            replica.wakes.succeed()

    def _add(self) -> None:
        replica = Replica(self._place())
        self.replicas.append(replica)
        self.sizes.append((self._env.now, len(self.replicas)))
        self._env.process(self._serve(replica))
        self._fill(replica)

    def _fill(self, replica: Replica) -> None:
        while self._waiting and len(replica.queue) < self._ongoing:
            self._give(replica, self._waiting.popleft())

    def _serve(self, replica: Replica) -> Course:
        while replica.alive:
            if not replica.queue:
                replica.wakes = self._env.event()
                yield replica.wakes
                continue
            task = replica.queue[0]
            yield replica.processors.work(task.demand_s)
            if not replica.alive:
                return
            replica.queue.popleft()
            task.done.succeed(True)
            self._fill(replica)

    def kill(self, replica: Replica) -> None:
        """Its tasks are asked once more elsewhere; another starts in its place."""
        self._end(replica)
        for task in replica.queue:
            if task.attempts > 1:
                self.lost += 1
                task.done.succeed(False)
            else:
                task.attempts += 1
                self._take(task)
        self._starting += 1
        self._env.process(self._start())

    def _end(self, replica: Replica) -> None:
        replica.alive = False
        self.replicas.remove(replica)
        self.sizes.append((self._env.now, len(self.replicas)))

    def _start(self) -> Course:
        yield self._env.timeout(self._scale.start_s)
        self._starting -= 1
        self._add()

    def _autoscale(self) -> Course:
        scale = self._scale
        seen: deque[tuple[float, int]] = deque()
        since_up = since_down = None
        while True:
            yield self._env.timeout(scale.every_s)
            now = self._env.now
            seen.append((now, self.asked))
            while seen[0][0] < now - scale.look_back_s:
                seen.popleft()
            mean = sum(count for _, count in seen) / len(seen)
            have = len(self.replicas) + self._starting
            wanted = min(scale.most, max(scale.least, math.ceil(mean / scale.target)))
            since_up = (since_up if since_up is not None else now) if wanted > have else None
            since_down = (since_down if since_down is not None else now) if wanted < have else None
            if since_up is not None and now - since_up >= scale.up_s:
                for _ in range(wanted - have):
                    self._starting += 1
                    self._env.process(self._start())
                since_up = None
            if since_down is not None and now - since_down >= scale.down_s:
                self._shrink(have - wanted)
                since_down = None

    def _shrink(self, count: int) -> None:
        """Those that are idle; the others are looked at again after `down_s`."""
        for replica in [one for one in self.replicas if not one.queue][:count]:
            self._end(replica)
