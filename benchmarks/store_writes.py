"""How many sentences of live calls a store settles in a second, by so many writers at once.

    python -m benchmarks.store_writes                              # SQLite in a temporary folder
    python -m benchmarks.store_writes --url postgresql://...       # an empty database

Each is one transaction of `LiveCallRepository.settle`, as the service makes it for every sentence.
Writers of the product queue for one lock of the store: more of them change the wait, not the rate.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.shared import described
from persona_ray.store import open_store

BODY = '{"text": "' + "我再考虑一下" * 8 + '"}'


def settle(url: str, writer: int, until: float, waits_s: list[float]) -> None:
    """Sentences of one call after the other, until `until`."""
    with open_store(url) as store:
        call = store.live_calls.open("bench", f"call-{writer}-{time.time_ns()}", {})
        number = 0
        while time.perf_counter() < until:
            began = time.perf_counter()
            store.live_calls.settle(call, {"position": number}, number, [BODY])
            waits_s.append(time.perf_counter() - began)
            number += 1


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--url", default="", help="SQLAlchemy URL; empty: SQLite")
    parser.add_argument("--writers", nargs="+", type=int, default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=5.0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = chosen.url or f"sqlite:///{Path(folder) / 'store.sqlite'}"
        open_store(url).close()
        for writers in chosen.writers:
            waits_s: list[float] = []
            until = time.perf_counter() + chosen.seconds
            threads = [
                threading.Thread(target=settle, args=(url, number, until, waits_s))
                for number in range(writers)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            p95 = statistics.quantiles(waits_s, n=20)[-1]
            rate = len(waits_s) / chosen.seconds
            print(f"{writers} writers: {rate:.0f} a second, p95 {1e3 * p95:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
