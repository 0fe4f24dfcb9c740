"""What devices cost: a snapshot, changes, the question whether there are any, private look-ups.

    python -m benchmarks.screening_distribution                  # 100 000 numbers
    python -m benchmarks.screening_distribution --entries 1000000

Service (SQLite, its shipped page size) and device are one process on 127.0.0.1. Times are of the
processor, for both together, which depends less on what else the machine does. Bytes are as sent,
packed.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import httpx2
import psutil

from benchmarks.shared import described
from persona_ray.config import RunConfig, load_config
from persona_ray.serving.application import build_app
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.metrics import Metrics
from persona_ray.serving.routes.screening_sets import screening_sets
from persona_ray.serving.screening.device import Device, Wanted
from persona_ray.serving.screening.device_store import DeviceStore
from persona_ray.serving.screening.statements import Kind
from persona_ray.store import Store, open_store
from persona_ray.store.screening.changes import NUMBERS, NewChange, What

_LOOK_UPS = 200
_POLLS = 100
_CHANGES = 1000
_BATCH = 20_000
_CATEGORIES = ("account_fraud", "promotion", "loans", "refund_fraud", "survey")


class Counting(httpx2.HTTPTransport):
    """Counts the bytes of answers as they were sent."""

    def __init__(self) -> None:
        super().__init__(verify=False)
        self.received = 0
        self.requests = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = super().handle_request(request)
        self.requests += 1
        self.received += int(answer.headers.get("content-length", "0"))
        return answer


class Sets:
    """What routes of sets are built from."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        from persona_ray.serving.gate import Gate

        self.config = config
        self.store = store
        self.metrics = Metrics()
        self.gate = Gate(store, config.serving.keys)

    async def model(self) -> NoReturn:
        raise NotImplementedError("no route of sets asks for a model")


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    entries = parser.parse_args().entries
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        overrides = [f"workspace={folder}", "serving.keys.requests_per_minute=1000000"]
        config = load_config(None, overrides)
        with (
            open_store(config.store_url) as store,
            served_in_thread(build_app(Sets(config, store), [screening_sets])) as url,
        ):
            _run(store, url, folder, entries)


def _run(store: Store, url: str, folder: Path, entries: int) -> None:
    chance = random.Random(1)
    numbers = [f"+861{index:010d}" for index in chance.sample(range(10**10), entries)]
    _list(store, numbers, chance)
    line, kept = Counting(), DeviceStore(folder / "device.sqlite")
    device = Device(url, kept, store.keys.create("phone", ["device"]).token, transport=line)
    wanted = (Wanted(Kind.NUMBERS),)
    print(f"{entries:,} numbers, {os.cpu_count()} processors")
    seconds = _timed(lambda: device.sync(wanted))
    print(
        f"snapshot            {seconds:8.1f} s  {line.received / 1e6:6.1f} MB  "
        f"{line.requests} requests"
    )
    _list(store, chance.sample(numbers, _CHANGES), chance)
    line.received = 0
    seconds = _timed(lambda: device.sync(wanted))
    print(f"{_CHANGES} changes        {seconds * 1e3:8.0f} ms {line.received / 1e3:6.1f} kB")
    polls = [_timed(lambda: device.sync(wanted)) for _ in range(_POLLS)]
    print(f"nothing new (304)   {statistics.median(polls) * 1e3:8.1f} ms")
    known = [_timed(lambda: device.look_up(chance.choice(numbers))) for _ in range(_LOOK_UPS)]
    print(f"look-up at home     {statistics.median(known) * 1e3:8.2f} ms")
    before = psutil.Process().memory_info().rss
    first = _timed(lambda: device.ask(numbers[0]))
    grown = (psutil.Process().memory_info().rss - before) / 1e6
    print(f"private, the first  {first:8.1f} s  {grown:6.0f} MB in the service")
    line.received = 0
    asked = [_timed(lambda: device.ask(chance.choice(numbers))) for _ in range(_LOOK_UPS)]
    p95 = statistics.quantiles(asked, n=20)[-1] * 1e3
    print(
        f"private, further    {statistics.median(asked) * 1e3:8.1f} ms (p95 {p95:.1f} ms)  "
        f"{line.received / _LOOK_UPS / 1e3:.1f} kB"
    )
    device.close()
    kept.close()


def _list(store: Store, numbers: list[str], chance: random.Random) -> None:
    for start in range(0, len(numbers), _BATCH):
        changes = [
            NewChange(
                number,
                What.ADDED,
                {
                    "standing": "illegal",
                    "category": chance.choice(_CATEGORIES),
                    "name": "",
                    "origin": "reports",
                    "expires_at": f"2099-{chance.randrange(1, 13):02d}-01T00:00:00+00:00",
                },
            )
            for number in numbers[start : start + _BATCH]
        ]
        with store.write() as session:
            store.changes.append(session, NUMBERS, changes, datetime.now(UTC))


def _timed(work: Callable[[], object]) -> float:
    """Seconds of the processor, of all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
