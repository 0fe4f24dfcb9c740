"""Two services as one: the champion's, and a challenger's that sees a share of the requests.

Shadow: the challenger sees a request after the champion's answer is there; nobody gets what it
says. Canary: the challenger answers; where it fails, or lets the caller wait, the champion does.
Either way requests that both saw are compared, and the verdict on these takes the challenger back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from persona_ray.errors import ServiceBusyError
from persona_ray.serving.rollout.choice import Choice, Chooser, Once
from persona_ray.serving.rollout.differences import (
    NoColour,
    calls_differ,
    clips_differ,
    sentences_differ,
)
from persona_ray.serving.rollout.ledger import Ledger, Pair
from persona_ray.serving.rollout.outcomes import (
    Ask,
    Failed,
    Good,
    Outcome,
    already,
    cancel,
    first_good,
    given,
    outcome_of,
    so_far,
)
from persona_ray.serving.rollout.verdict import Counts, Question
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.config.serving import RolloutConfig
    from persona_ray.inference.clips import (
        CallRecognition,
        ClipInput,
        ClipRecognition,
        SentenceRecognition,
    )
    from persona_ray.serving.service import (
        Answered,
        PersonalityService,
        Recording,
        ServedModel,
    )
    from persona_ray.store.rollouts import RolloutRepository
    from persona_ray.types import Samples

ResultT = TypeVar("ResultT")
Differ = Callable[[ResultT, ResultT], float | NoColour]
# How long a service may take to say which model it serves.
_MODEL_TIMEOUT_S = 10.0


class RolloutService:
    """PersonalityService over two others. `timeout_s`: a comparison that takes longer counts as a
    failure of whoever has not answered. `count` hears what is counted, for the metrics."""

    def __init__(
        self,
        champion: PersonalityService,
        challenger: PersonalityService,
        rollouts: RolloutRepository,
        config: RolloutConfig,
        timeout_s: float = 300.0,
        seed: int | None = None,
        count: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._champion = champion
        self._challenger = challenger
        self._config = config
        self._timeout_s = timeout_s
        self._count_metric = count
        self._ledger = Ledger(rollouts, config, count)
        self._chooser = Chooser(config.shadow_share, config.canary_share, seed)
        self._once = Once()
        self._comparisons: set[asyncio.Task[None]] = set()
        self._syncing: asyncio.Task[None] | None = None
        self._sync_now = asyncio.Event()

    @property
    def config(self) -> RolloutConfig:
        return self._config

    @property
    def ledger(self) -> Ledger:
        return self._ledger

    async def model(self) -> ServedModel:
        return await self._champion.model()

    async def clips(self, clips: Sequence[ClipInput]) -> Answered[list[ClipRecognition]]:
        return await self._answer(lambda service: service.clips(clips), clips_differ)

    async def call(self, recording: Recording) -> Answered[CallRecognition]:
        return await self._answer(lambda service: service.call(recording), calls_differ)

    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> Answered[list[SentenceRecognition]]:
        return await self._answer(
            lambda service: service.utterance(samples, rate_hz, speech), sentences_differ
        )

    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        """By the champion's: a text has no colour, and bundles do not differ in it."""
        return await self._champion.text(samples, rate_hz, speech)

    async def sync(self) -> None:
        """Which models are served, and what all replicas saw of them."""
        known = self._ledger.pair
        champion = await _name(self._champion, known.champion if known else "")
        if not champion:
            return
        # One that cannot even say what it is has a name too, under which it may be taken back.
        unnamed = known.challenger if known else self._config.challenger or "challenger"
        await self._ledger.sync(Pair(champion, await _name(self._challenger, unnamed)))

    async def restart(self) -> None:
        """Give a challenger that was taken back another chance. Raises StoreError."""
        await self._ledger.restart()

    async def settle(self) -> None:
        """Wait for comparisons under way, and tell the store."""
        while self._comparisons:
            await asyncio.wait(set(self._comparisons))
        await self.sync()

    async def close(self) -> None:
        """End what runs in the background; counts are told to the store first."""
        await cancel(*self._comparisons, *([self._syncing] if self._syncing else []))
        self._syncing = None
        if self._ledger.pair is not None:
            await self._ledger.sync(self._ledger.pair)

    async def _answer(self, ask: Ask[ResultT], differ: Differ[ResultT]) -> Answered[ResultT]:
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._keep_in_step())
        # Until it is known what the other replicas decided, the champion answers alone.
        if not self._ledger.running:
            self._chooser.stay()
            return await ask(self._champion)
        choice = self._chooser.choose()
        if choice.canary:
            return await self._canary(choice, ask, differ)
        champion = await outcome_of(ask, self._champion)
        self._count(champion=1)
        if choice.both and self._room():
            self._count(shadows=1)
            self._compare(
                choice,
                asyncio.create_task(already(champion)),
                asyncio.create_task(outcome_of(ask, self._challenger)),
                differ,
            )
        return given(champion)

    async def _canary(
        self, choice: Choice, ask: Ask[ResultT], differ: Differ[ResultT]
    ) -> Answered[ResultT]:
        """The challenger's answer if it is there in time, else the first of the two."""
        challenger = asyncio.create_task(outcome_of(ask, self._challenger))
        champion: asyncio.Task[Outcome[ResultT]] | None = None
        try:
            await asyncio.wait({challenger}, timeout=self._config.patience_s)
            if not (challenger.done() and isinstance(challenger.result(), Good)):
                champion = asyncio.create_task(outcome_of(ask, self._champion))
                await first_good(champion, challenger)
        except asyncio.CancelledError:
            await cancel(challenger, *([champion] if champion else []))
            raise
        answered = challenger.done() and isinstance(challenger.result(), Good)
        if answered:
            self._count(canary=1)
        else:
            self._count(fallbacks=1)
            self._chooser.stay()
        chosen = challenger if answered or champion is None else champion
        # Whether there is room does not depend on who failed: the comparison stays fair.
        if self._room():
            champion = champion or asyncio.create_task(outcome_of(ask, self._champion))
            self._compare(choice, champion, challenger, differ)
        else:
            for task in (champion, challenger):
                if task is not None:
                    task.cancel()
        return given(chosen.result())

    def _room(self) -> bool:
        room = len(self._comparisons) < self._config.max_shadows
        if not room:
            self._count(dropped=1)
        return room

    def _compare(
        self,
        choice: Choice,
        champion: asyncio.Task[Outcome[ResultT]],
        challenger: asyncio.Task[Outcome[ResultT]],
        differ: Differ[ResultT],
    ) -> None:
        pair = self._ledger.pair

        async def compared() -> None:
            try:
                await asyncio.wait({champion, challenger}, timeout=self._timeout_s)
                first, second = so_far(champion), so_far(challenger)
            finally:
                await cancel(champion, challenger)
            if pair == self._ledger.pair and pair is not None:
                self._observe(pair, choice.call, first, second, differ)

        task = asyncio.create_task(compared())
        self._comparisons.add(task)
        task.add_done_callback(self._comparisons.discard)

    def _observe(
        self,
        pair: Pair,
        call: str,
        champion: Outcome[ResultT],
        challenger: Outcome[ResultT],
        differ: Differ[ResultT],
    ) -> None:
        # A model that was changed under way belongs to another pair.
        if not (_is_of(champion, pair.champion) and _is_of(challenger, pair.challenger)):
            self._sync_now.set()
            return
        for outcome in (champion, challenger):
            if isinstance(outcome, Failed) and isinstance(outcome.error, ServiceBusyError):
                self._count(busy=1)
                return
        seen: dict[str, float] = {"pairs": 1}
        if isinstance(challenger, Failed):
            if isinstance(champion, Good) and self._once.first(call, Question.ERRORS):
                log_exception("rollout.challenger_failed", challenger.error, model=pair.challenger)
                seen["challenger_failed"] = 1
        elif isinstance(champion, Failed):
            if self._once.first(call, Question.ERRORS):
                seen["champion_failed"] = 1
        else:
            if self._once.first(call, Question.LATENCY):
                slower = challenger.took_s > self._config.max_slowdown * champion.took_s
                seen |= {"timed": 1, "slower": float(slower)}
            differing = differ(champion.answer.result, challenger.answer.result)
            if isinstance(differing, float) and self._once.first(call, Question.COLOURS):
                seen |= {"coloured": 1, "differing": differing}
        self._count(**seen)

    def _count(self, **seen: float) -> None:
        for name, value in seen.items():
            if value:
                self._count_metric(name)
        if self._ledger.add(Counts(**seen)):
            self._sync_now.set()

    async def _keep_in_step(self) -> None:
        while True:
            self._sync_now.clear()
            try:
                await self.sync()
            except Exception as error:
                log_exception("rollout.sync_failed", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._sync_now.wait(), self._config.sync_s)


def _is_of(outcome: Outcome[ResultT], name: str) -> bool:
    return isinstance(outcome, Failed) or _named(outcome.answer.model) == name


def _named(model: ServedModel) -> str:
    return f"{model.name}/{model.version}"


async def _name(service: PersonalityService, known: str) -> str:
    """Of the model that it serves; what is `known` where it does not say."""
    try:
        return _named(await asyncio.wait_for(service.model(), _MODEL_TIMEOUT_S))
    except Exception as error:
        log_exception("rollout.model_unknown", error)
        return known
