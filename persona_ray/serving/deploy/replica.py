"""What every replica that holds a model does: loading, swapping, batches that one clip cannot
spoil. It knows nothing of Ray."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from persona_ray.errors import BundleError, PersonaRayError
from persona_ray.inference.clips import ClipInput
from persona_ray.inference.judge import Judge, seconds
from persona_ray.serving.deploy.stages import BundleChoice
from persona_ray.serving.service import ServedModel
from persona_ray.watch.logs import log_event
from persona_ray.watch.process import watch_service

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.config.serving import ScaleConfig
    from persona_ray.serving.deploy.stages import FindBundle
    from persona_ray.types import Samples

T = TypeVar("T")

# Without audio a clip weighs so much in a batch.
_TEXT_MS = 250
_WARM_S = 1.0


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bundle in a replica."""

    judge: Judge
    choice: BundleChoice
    model: ServedModel


@dataclass(frozen=True, slots=True)
class Item:
    """One clip of a batch, for the bundle that its request began with."""

    clip: ClipInput
    loaded: Loaded
    milliseconds: int


def padded_ms(items: Sequence[Item]) -> int:
    """Of a batch: its audio with its padding."""
    return max(item.milliseconds for item in items) * len(items)


class ModelReplica:
    """Holds a bundle. A new one is loaded beside it, and answers when it can."""

    def __init__(self, config: RunConfig, scale: ScaleConfig, find: FindBundle) -> None:
        watch_service(config.watching)
        use_threads(scale.threads)
        self.config = config
        self._device = "cuda" if scale.gpus > 0 else "cpu"
        self._find = find
        self._loaded: Loaded | None = None
        self._swap = asyncio.Lock()
        # Batches run one after the other: the model has the replica's processors to itself.
        self._pool = ThreadPoolExecutor(1)

    async def reconfigure(self, user_config: dict[str, str]) -> None:
        """Load the bundle of this `BundleChoice`; requests that began with another end with it.

        One that cannot be loaded is refused: the one before goes on answering, and `model` says
        which that is. Only the first must load.
        """
        choice = BundleChoice(**user_config)
        async with self._swap:
            former = self._loaded
            if former is not None and former.choice == choice:
                return
            try:
                self._loaded = await asyncio.to_thread(self._load, choice, former)
            except PersonaRayError as error:
                if former is None:
                    raise
                log_event(f"{choice} is refused, {former.choice} stays: {error}", logging.ERROR)
            else:
                self.swapped(self._loaded)

    async def model(self) -> ServedModel:
        """The model that answers now."""
        return self.loaded.model

    @property
    def loaded(self) -> Loaded:
        if self._loaded is None:
            raise BundleError("a replica was asked before its deployment named a bundle")
        return self._loaded

    def _load(self, choice: BundleChoice, former: Loaded | None) -> Loaded:
        judge = Judge.load(
            self._find(self.config, choice), self.config.audio.min_level_db, self._device
        )
        model = ServedModel(
            name=choice.name,
            version=choice.version,
            labels=judge.labels,
            hears=judge.hears,
            reads=judge.reads,
            sample_rate_hz=self.config.audio.sample_rate_hz,
            digest=choice.digest,
        )
        if former is not None:
            self.check(model, former.model)
        # The first inference is slow: it is not a caller's.
        rate_hz = self.config.audio.sample_rate_hz
        self.warm(judge, ClipInput(noise(rate_hz, _WARM_S), rate_hz, "你好"))
        return Loaded(judge, choice, model)

    def check(self, model: ServedModel, former: ServedModel) -> None:
        """Raise BundleError where this deployment cannot hold `model` after `former`."""

    def warm(self, judge: Judge, clip: ClipInput) -> None:
        """Do once with `clip` what requests will ask, and let go of what they will not."""
        judge.judge([clip])

    def swapped(self, loaded: Loaded) -> None:
        """`loaded` answers from now on."""

    def items(self, clips: Sequence[ClipInput], loaded: Loaded, audio: bool) -> list[Item]:
        """`audio`: whether it is what weighs, or every clip weighs the same."""
        longest_s = loaded.judge.model.max_clip_s
        return [
            Item(
                clip,
                loaded,
                max(1, round(1000 * min(seconds(clip), longest_s))) if audio else _TEXT_MS,
            )
            for clip in clips
        ]

    def batch_ms(self, loaded: Loaded) -> int:
        """The largest batch: one clip of the model's greatest length fits in any case."""
        longest_s = loaded.judge.model.max_clip_s if loaded.judge.hears else 0.0
        return round(1000 * max(self.config.serving.batch.max_s, longest_s, 1.0))

    async def by_bundle(
        self, items: Sequence[Item], work: Callable[[Judge, list[ClipInput]], Sequence[T]]
    ) -> list[T | Exception]:
        """`work` on the items of each bundle, in a thread. Where it fails for several clips, each
        is tried alone, so that one that nobody foresaw does not spoil its neighbours' answers."""

        def run() -> list[T | Exception]:
            found: dict[int, T | Exception] = {}
            judges = {id(item.loaded): item.loaded.judge for item in items}
            for key, judge in judges.items():
                numbers = [n for n, item in enumerate(items) if id(item.loaded) == key]
                clips = [items[number].clip for number in numbers]
                found.update(zip(numbers, _tried(work, judge, clips), strict=True))
            return [found[number] for number in range(len(items))]

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)


def _tried(
    work: Callable[[Judge, list[ClipInput]], Sequence[T]], judge: Judge, clips: list[ClipInput]
) -> list[T | Exception]:
    try:
        return list(work(judge, clips))
    except Exception as error:
        if len(clips) == 1:
            return [error]
        return [found for clip in clips for found in _tried(work, judge, [clip])]


def raised(found: Sequence[T | Exception]) -> list[T]:
    """The results; raises the first error among them."""
    for one in found:
        if isinstance(one, Exception):
            raise one
    return [one for one in found if not isinstance(one, Exception)]


def use_threads(count: int) -> None:
    """Processor threads of torch and of NumPy's linear algebra in this process; onnxruntime's and
    CTranslate2's are options of their sessions.

    Ray names a number in the environment, but NumPy has been imported by then: with a thread for
    each processor it takes from the other replicas.
    """
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(count)
    threadpool_limits(count, user_api="blas")


def noise(rate_hz: int, duration_s: float) -> Samples:
    """Something to hear (n,), the same every time."""
    rng = np.random.default_rng(0)
    return (0.1 * rng.standard_normal(round(rate_hz * duration_s))).astype(np.float32)
