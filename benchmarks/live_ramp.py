"""What serving_live.py and screening_live.py share: callers at real time, more of them at each
step, until the service is behind."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from benchmarks.serving_arms import PRODUCT, Arm, Place, Settings
from benchmarks.serving_load import quantile

RATE_HZ = 8000
# Calls of a step do not begin all at once.
STAGGER_S = 3.0


@dataclass
class Seen:
    """Of one step: `delays_s`, which are judged, seconds that the client itself was late, calls
    that failed and why, connections more than calls, seconds of calls."""

    delays_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    lines: int = 0
    audio_s: float = 0.0


SeenT = TypeVar("SeenT", bound=Seen)


@dataclass(frozen=True)
class Ramp(Generic[SeenT]):
    """`step` makes so many calls at once; `behind` is true of what a service that keeps up does not
    let happen. `extra`: further columns, by their heads. `by_process`: which processes used the
    processor, too."""

    noun: str
    step: Callable[[int], Awaitable[SeenT]]
    within_s: float
    extra: dict[str, Callable[[SeenT], str]]
    behind: Callable[[SeenT], bool] = lambda _: False
    by_process: bool = False

    def climb(self, arm: Arm, steps: Sequence[int]) -> None:
        """A line for each step, until one is behind."""
        heads = "".join(f"{head:>{len(head) + 2}}" for head in self.extra)
        print(
            f"  {'calls':>5}{self.noun:>11}{'p50 s':>9}{'p95':>7}{'p99':>7}"
            f"{'processor % of a call':>23}{'late ms':>9}{heads}{'lines':>7}{'failed':>8}"
        )
        held = 0
        for calls in steps:
            before = arm.used_s()
            seen = asyncio.run(self._made(calls))
            used = {what: much - before.get(what, 0.0) for what, much in arm.used_s().items()}
            p95 = self._show(calls, seen, sum(used.values()))
            if self.by_process:
                _show_used(used)
            if not p95 <= self.within_s or seen.failed or self.behind(seen):
                break
            held = calls
        print(
            f"held at real time, 95 % of {self.noun} within {self.within_s:g} s: {held} calls",
            flush=True,
        )

    async def _made(self, calls: int) -> SeenT:
        return await self.step(calls)

    def _show(self, calls: int, seen: SeenT, processor_s: float) -> float:
        """A line of the table; the delay that 95 % do not exceed."""
        delays = sorted(seen.delays_s) or [float("nan")]
        p50, p95, p99 = (quantile(delays, share) for share in (0.5, 0.95, 0.99))
        late = quantile(sorted(seen.late_s) or [float("nan")], 0.95)
        extra = "".join(f"{show(seen):>{len(head) + 2}}" for head, show in self.extra.items())
        share = 100 * processor_s / seen.audio_s if seen.audio_s else float("nan")
        print(
            f"  {calls:5}{len(seen.delays_s):11}{p50:9.2f}{p95:7.2f}{p99:7.2f}"
            f"{share:23.1f}{1000 * late:9.0f}{extra}"
            f"{seen.lines:7}{len(seen.failed):8} {', '.join(sorted(set(seen.failed)))[:80]}",
            flush=True,
        )
        return p95


def _show_used(used: Mapping[str, float]) -> None:
    total = sum(used.values()) or 1.0
    most = sorted(used.items(), key=lambda one: -one[1])[:6]
    print("        " + ", ".join(f"{what} {100 * much / total:.0f} %" for what, much in most))


@contextmanager
def served(config: Path, overrides: Sequence[str], app: str = "personality") -> Iterator[Arm]:
    """`persona-ray serve`, answering."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(config, tuple(overrides), Path(temporary), None)
        arm = Arm(Settings(PRODUCT, app=app), place)
        try:
            arm.wait()
            yield arm
        finally:
            arm.end()
