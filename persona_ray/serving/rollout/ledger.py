"""What this ingress replica saw of the challenger, put together with what the others saw.

Decisions fall in the store, on the counts of all replicas. Where the store cannot be reached this
replica decides by what it knows, and takes the challenger back for itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.errors import StoreError
from persona_ray.serving.rollout.verdict import Counts, RollBack, Undecided, Verdict, judge
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.config.serving import RolloutConfig
    from persona_ray.store.rollouts import RolloutRepository


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models as NAME/VERSION."""

    champion: str
    challenger: str


class Ledger:
    """Counts of one pair of models at a time."""

    def __init__(
        self,
        rollouts: RolloutRepository,
        config: RolloutConfig,
        count: Callable[[str], None] = lambda _event: None,
    ) -> None:
        """`count` hears "rolled_back" once where this replica learns of it."""
        self._rollouts = rollouts
        self._config = config
        self._count = count
        self._lock = asyncio.Lock()
        self._pair: Pair | None = None
        self._pending = Counts()
        self._shared = Counts()
        self._verdict: Verdict = Undecided()

    @property
    def pair(self) -> Pair | None:
        """None before the first `sync`."""
        return self._pair

    @property
    def counts(self) -> Counts:
        """Of all replicas, as far as this one knows."""
        return self._shared + self._pending

    @property
    def verdict(self) -> Verdict:
        return self._verdict

    @property
    def running(self) -> bool:
        """Whether the challenger may see requests."""
        pair = self._pair
        return (
            pair is not None
            and pair.champion != pair.challenger
            and not isinstance(self._verdict, RollBack)
        )

    def add(self, counts: Counts) -> bool:
        """Whether what is known now calls for a `sync` at once: the challenger may have to go."""
        self._pending += counts
        return (
            counts.pairs > 0
            and self.running
            and isinstance(judge(self.counts, self._config), RollBack)
        )

    async def sync(self, pair: Pair) -> None:
        """Tell the store what was seen, learn what all saw; from now on count for `pair`."""
        async with self._lock:
            if self._pair is not None and self._pair != pair:
                await self._exchange(self._pair)
                # What could not be told is of another pair.
                self._pending, self._shared, self._verdict = Counts(), Counts(), Undecided()
            self._pair = pair
            await self._exchange(pair)

    async def restart(self) -> None:
        """Forget the challenger's counts and that it was taken back. Raises StoreError."""
        async with self._lock:
            if self._pair is None:
                return
            await asyncio.to_thread(self._rollouts.restart, self._pair.challenger)
            self._pending, self._shared, self._verdict = Counts(), Counts(), Undecided()
        log_event("rollout.restarted", model=self._pair.challenger)

    async def _exchange(self, pair: Pair) -> None:
        taken, self._pending = self._pending, Counts()
        try:
            record = await asyncio.to_thread(
                self._rollouts.add, pair.champion, pair.challenger, taken.to_dict(), self._decide
            )
        except StoreError as error:
            self._pending += taken
            log_exception("rollout.store_failed", error, model=pair.challenger)
            verdict = judge(self.counts, self._config)
            if not isinstance(self._verdict, RollBack):
                self._settle(verdict, pair)
            return
        self._shared = Counts.from_dict(record.counts)
        if record.reason:
            self._settle(RollBack(record.reason), pair)
        else:
            self._settle(judge(self._shared, self._config), pair)

    def _decide(self, counts: Mapping[str, float]) -> str:
        verdict = judge(Counts.from_dict(counts), self._config)
        return verdict.reason if isinstance(verdict, RollBack) else ""

    def _settle(self, verdict: Verdict, pair: Pair) -> None:
        before, self._verdict = self._verdict, verdict
        if isinstance(verdict, RollBack) and before != verdict:
            self._count("rolled_back")
            log_event(
                "rollout.rolled_back",
                logging.WARNING,
                model=pair.challenger,
                state=verdict.reason,
            )
