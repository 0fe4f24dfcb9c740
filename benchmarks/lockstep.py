"""Arms of a benchmark that take turns, each a process of its own, only one of them at work."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection, Listener
from typing import Any

KEY = b"turns on this machine"

Address = tuple[str, int]
Waiting = Mapping[str, "Connection[Any, Any]"]


class Gate:
    """An arm's side of the turns: `tick` is called before each update, and waits until it is on."""

    def __init__(self, address: Address, name: str, on: threading.Event | None = None) -> None:
        """`on` is cleared while it is another arm's turn."""
        self._on = on or threading.Event()
        self._turns: Any = Client(address, authkey=KEY)
        self._turns.send(name)
        self._left = 0
        self._began, self._used = 0.0, 0.0
        self._items, self._size = 0, 0.0

    def tick(self) -> bool:
        """True when the benchmark is over."""
        if self._left == 0:
            if self._began:
                seconds = time.perf_counter() - self._began
                processor = time.process_time() - self._used
                self._turns.send((seconds, processor, self._items, self._size))
            self._on.clear()
            self._left = self._turns.recv()
            self._on.set()
            if self._left == 0:
                return True
            self._items, self._size = 0, 0.0
            self._began, self._used = time.perf_counter(), time.process_time()
        self._left -= 1
        return False

    def count(self, items: int, size: float) -> None:
        """For arms whose updates are not those of the plan."""
        self._items += items
        self._size += size


class Held:
    """What batches are made of, by `made`; the thread that makes them ahead works only while it is
    the arm's turn: none come for free."""

    def __init__(self, inner: object, made: str, on: threading.Event) -> None:
        self._inner, self._made, self._on = inner, made, on
        on.set()

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name != self._made:
            return value

        def held(*arguments: Any) -> Any:
            if threading.current_thread().name == "batches":
                self._on.wait()
            return value(*arguments)

        return held


@contextmanager
def failing_aloud(address: Address, arm: str) -> Iterator[None]:
    """Who waits for this arm is told why it will not come."""
    try:
        yield
    except Exception as error:
        with suppress(OSError):
            Client(address, authkey=KEY).send(f"{arm} failed: {error}")
        raise


def arrived(arms: Sequence[str], listener: Listener) -> Waiting:
    """Each arm's connection, once all are ready."""
    waiting: dict[str, Connection[Any, Any]] = {}
    for _ in arms:
        connection = listener.accept()
        arm = connection.recv()
        if arm not in arms:
            sys.exit(f"error: {arm}")
        waiting[arm] = connection
    return waiting


@dataclass
class Turns:
    """Of one arm, a value for each round; `processor` seconds are those of its process' threads."""

    seconds: list[float]
    processor: list[float]
    items: list[int]
    size: list[float]

    def rate(self, amounts: Sequence[float]) -> float:
        return statistics.median(
            amount / second for amount, second in zip(amounts, self.seconds, strict=True)
        )


def take_turns(
    plan: Iterator[Sequence[int]],
    sizes: Sequence[float],
    arms: Sequence[str],
    waiting: Waiting,
    rounds: int,
    turn_s: float,
) -> dict[str, Turns]:
    """Turns of about `turn_s`, in an order that turns round; the first of each arm does not count.
    `plan`: positions in `sizes` of the updates that arms make which do not count for themselves."""
    found = {arm: Turns([], [], [], []) for arm in arms}
    updates = 1
    for number in range(rounds + 1):
        positions = [position for _ in range(updates) for position in next(plan)]
        spent = []
        for arm in arms if number % 2 else reversed(arms):
            waiting[arm].send(updates)
            seconds, processor, items, size = waiting[arm].recv()
            spent.append(seconds / updates)
            if number:
                found[arm].seconds.append(seconds)
                found[arm].processor.append(processor)
                found[arm].items.append(items or len(positions))
                found[arm].size.append(size or sum(sizes[place] for place in positions))
        if number == 0:
            updates = max(1, round(turn_s / statistics.median(spent)))
    return found


def heading(unit: str, base: str) -> str:
    return (
        f"  {'arm':<10}{'clips/s':>10}{unit:>12}{f'time against {base}':>22}{'range':>16}"
        f"{'processor time':>24}"
    )


def line(arm: str, turns: Turns, base: Turns | None) -> str:
    """Rates; the ratios to `base`, round by round, and the middle half of them. What else the
    machine does shows less in processor time, and waiting not at all."""
    from benchmarks.shared import middle_half

    said = f"  {arm:<10}{turns.rate(turns.items):10.1f}{turns.rate(turns.size):12.0f}"
    if base is None:
        return said
    for mine, its, width in (
        (turns.seconds, base.seconds, 22),
        (turns.processor, base.processor, 10),
    ):
        low, middle, high = middle_half([one / two for one, two in zip(mine, its, strict=True)])
        said += f"{middle:{width}.3f}{low:9.3f}-{high:.3f}"
    return said
