"""What a span costs: off, on, on without a collector, and an exit then.

python benchmarks/spans.py
"""

from __future__ import annotations

import subprocess
import sys
import time
import timeit

from persona_ray.config.watching import TracesConfig
from persona_ray.watch import spans

_TIMES = 20_000
_CLOSED = "http://127.0.0.1:9"


def main() -> None:
    print(f"a span, off: {_cost_us():.2f} us; a place carried: {_cost_us(spans.carried):.2f} us")
    spans.set_up(TracesConfig(endpoint=_CLOSED), "benchmark")
    print(f"a span, on, no collector: {_cost_us():.1f} us")
    spans.close()
    code = (
        "from persona_ray.config.watching import TracesConfig\n"
        "from persona_ray.watch import spans\n"
        "import time\n"
        f"spans.set_up(TracesConfig(endpoint='{_CLOSED}'), 'benchmark')\n"
        "with spans.span('a'): pass\n"
        "print(time.time())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    print(f"end of a process, no collector: {time.time() - float(done.stdout):.2f} s later")


def _cost_us(work: object = None) -> float:
    """The best of five."""

    def one() -> None:
        with spans.span("judging", clips=3, stage="fused"):
            pass

    chosen = work if callable(work) else one
    return min(timeit.repeat(chosen, number=_TIMES, repeat=5)) / _TIMES * 1e6


if __name__ == "__main__":
    main()
