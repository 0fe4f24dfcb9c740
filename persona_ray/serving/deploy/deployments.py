"""The deployments on Ray Serve: thin shells over the objects of inference.

`Asr` decodes, finds speech and writes it down. `Fused` holds both towers and the classifier;
`SpeechEncoder`, `TextEncoder` and `Classifier` are the same stages apart. `Whole` is `Asr` and
`Fused` in one replica. Replicas work in threads, so that their event loops go on answering.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from ray import serve

from persona_ray.audio.decoder import decoder_of
from persona_ray.audio.vad import Span
from persona_ray.errors import BundleError, ServiceBusyError
from persona_ray.inference.clips import ClipInput
from persona_ray.inference.hearing import Hearing
from persona_ray.serving.deploy.hop import hop
from persona_ray.serving.deploy.replica import (
    Item,
    Loaded,
    ModelReplica,
    noise,
    padded_ms,
    raised,
    use_threads,
)
from persona_ray.serving.deploy.stages import Failed, Heard, Judged, Stale, Vectors
from persona_ray.serving.local import hear
from persona_ray.serving.service import CLASSIFYING, HEARING, JUDGING, SPEECH, TEXT
from persona_ray.types import NothingUsable, Recognition
from persona_ray.watch.catalogue import BATCH_SIZE
from persona_ray.watch.on_ray import RayInstruments
from persona_ray.watch.process import watch_service

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.config.serving import ScaleConfig
    from persona_ray.inference.judge import Judge, Vector
    from persona_ray.serving.deploy.stages import FindBundle
    from persona_ray.serving.service import Recording, ServedModel
    from persona_ray.types import Samples

T = TypeVar("T")

# The span of all that a replica does that has the whole.
WHOLE = "answering"
# Heads are small: the classifier goes on understanding the towers of bundles before this one.
_KEPT_HEADS = 4


def _batched(
    work: Callable[[Any, list[Item]], Coroutine[Any, Any, list[T]]],
) -> Callable[[Any, Item], Coroutine[Any, Any, T]]:
    """A method on items becomes one on an item, which waits for others to fill a batch."""
    made: Callable[[Any, Item], Coroutine[Any, Any, T]] = serve.batch(batch_size_fn=padded_ms)(work)
    return made


class Asr:
    """Whole calls, stretches of live speech and single clips -> clips with text."""

    def __init__(self, config: RunConfig, workers: int, warm: bool) -> None:
        """`workers`: requests at work at once, sharing the recogniser utterance by utterance, so
        that a live call does not wait for the end of an uploaded one. `warm`: load it now."""
        watch_service(config.watching)
        threads = config.serving.asr.threads
        use_threads(threads)
        asr = config.asr.model_copy(update={"threads": threads})
        self._hearing = Hearing(
            config.model_copy(update={"asr": asr}), decoder=decoder_of(config.serving.limits)
        )
        self._hearers = ThreadPoolExecutor(workers)
        self._at_work = 0
        rate_hz = config.audio.sample_rate_hz
        sound = noise(rate_hz, 1.0)
        self._hearing.find(sound, rate_hz)
        if warm:
            self._hearing.text(sound, rate_hz, [Span(0.0, 1.0)])

    @hop(HEARING)
    async def call(self, recording: Recording, reads: bool) -> Heard:
        hearing = self._hearing.for_model(reads)
        return await self._heard(lambda: hear(hearing, recording), Heard.of_pieces, reads)

    @hop(HEARING)
    async def utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span], reads: bool
    ) -> Heard:
        hearing = self._hearing.for_model(reads)
        return await self._heard(
            lambda: hearing.utterance(samples, rate_hz, speech), Heard.of_pieces, reads
        )

    @hop(HEARING)
    async def clips(self, clips: Sequence[ClipInput], reads: bool) -> Heard:
        hearing = self._hearing.for_model(reads)
        return await self._heard(
            lambda: tuple(hearing.clip(clip) for clip in clips), Heard.of_clips, reads
        )

    @hop("partial text")
    async def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> str:
        """A partial text, which gives way: it would hold up sentences that somebody waits for."""
        if self._at_work:
            raise ServiceBusyError("the recogniser is at work on sentences")
        return await self._run(lambda: self._hearing.text(samples, rate_hz, speech))

    async def _heard(
        self,
        work: Callable[[], T],
        made: Callable[[T, bool, dict[str, float]], Heard],
        reads: bool,
    ) -> Heard:
        def timed() -> Heard:
            start = perf_counter()
            found = work()
            return made(found, reads, {HEARING: perf_counter() - start})

        return await self._run(timed)

    async def _run(self, work: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        self._at_work += 1
        begun = self._hearers.submit(work)
        # Who asked may leave: a thread that has begun goes on to its end.
        begun.add_done_callback(lambda _: loop.call_soon_threadsafe(self._ended))
        return await asyncio.wrap_future(begun)

    def _ended(self) -> None:
        self._at_work -= 1


class _Batching(ModelReplica):
    """A replica whose batches are counted, by Ray's metrics agent."""

    stage: str

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._instruments = RayInstruments([BATCH_SIZE])

    async def counted(
        self, items: Sequence[Item], work: Callable[[Judge, list[ClipInput]], Sequence[T]]
    ) -> list[T | Exception]:
        self._instruments.record(BATCH_SIZE, len(items), {"stage": self.stage})
        return await self.by_bundle(items, work)


class Fused(_Batching):
    """Both towers and the classifier: clips -> results."""

    stage = JUDGING

    def swapped(self, loaded: Loaded) -> None:
        _bound(self._judged, self.batch_ms(loaded), self.config)

    @hop(JUDGING)
    async def judge(self, heard: Heard | Failed) -> Judged | Failed | Stale:
        if isinstance(heard, Failed):
            return heard
        loaded, start = self.loaded, perf_counter()
        if heard.reads != loaded.judge.reads:
            return Stale("the clips were heard for a model that reads otherwise")
        items = self.items(heard.clips, loaded, loaded.judge.hears)
        found = await asyncio.gather(*(self._judged(item) for item in items))
        results: list[Recognition | NothingUsable] = raised(found)
        timings = {**heard.timings_s, JUDGING: perf_counter() - start}
        return Judged(heard.without_samples(), tuple(results), loaded.model, timings)

    @_batched
    async def _judged(self, items: list[Item]) -> list[Recognition | NothingUsable | Exception]:
        return await self.counted(items, lambda judge, clips: judge.judge(clips))


class Whole(Fused, Asr):
    """Recogniser, towers and classifier: what is heard is judged without a hop in between."""

    def __init__(
        self, config: RunConfig, scale: ScaleConfig, find: FindBundle, workers: int, warm: bool
    ) -> None:
        Asr.__init__(self, config, workers, warm)
        Fused.__init__(self, config, scale, find)

    @hop(WHOLE)
    async def judged_call(self, recording: Recording, reads: bool) -> Judged | Failed | Stale:
        return await self.judge(await self.call(recording, reads))

    @hop(WHOLE)
    async def judged_utterance(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span], reads: bool
    ) -> Judged | Failed | Stale:
        return await self.judge(await self.utterance(samples, rate_hz, speech, reads))

    @hop(WHOLE)
    async def judged_clips(
        self, clips: Sequence[ClipInput], reads: bool
    ) -> Judged | Failed | Stale:
        return await self.judge(await self.clips(clips, reads))


class _Tower(_Batching):
    """One tower: clips -> vectors."""

    @abstractmethod
    def unusable(self, judge: Judge, clip: ClipInput) -> str | None:
        """Why the tower can say nothing of a clip."""

    @abstractmethod
    def encode(self, judge: Judge, clips: list[ClipInput]) -> list[Vector]:
        """What it says of clips that it can use."""

    def swapped(self, loaded: Loaded) -> None:
        _bound(self._vector, self.batch_ms(loaded), self.config)

    def check(self, model: ServedModel, former: ServedModel) -> None:
        _same_towers(model, former)

    def warm(self, judge: Judge, clip: ClipInput) -> None:
        judge.keep(speech=self.stage == SPEECH, text=self.stage == TEXT)
        self.encode(judge, [clip])

    @hop(lambda tower: str(tower.stage))
    async def vectors(self, heard: Heard | Failed) -> Vectors | Failed:
        if isinstance(heard, Failed):
            return heard
        loaded, start = self.loaded, perf_counter()
        reasons = [self.unusable(loaded.judge, clip) for clip in heard.clips]
        items = self.items(heard.clips, loaded, self.stage == SPEECH)
        usable = [item for item, reason in zip(items, reasons, strict=True) if reason is None]
        found = iter(raised(await asyncio.gather(*(self._vector(item) for item in usable))))
        rows = tuple(next(found) if reason is None else reason for reason in reasons)
        timings = {**heard.timings_s, self.stage: perf_counter() - start}
        return Vectors(heard.without_samples(), rows, loaded.choice.digest, timings)

    @_batched
    async def _vector(self, items: list[Item]) -> list[Vector | Exception]:
        return await self.counted(items, self.encode)


class SpeechEncoder(_Tower):
    """The speech tower: clips -> vectors of their audio."""

    stage = SPEECH

    def unusable(self, judge: Judge, clip: ClipInput) -> str | None:
        return judge.unheard(clip)

    def encode(self, judge: Judge, clips: list[ClipInput]) -> list[Vector]:
        return judge.speech_vectors(clips)


class TextEncoder(_Tower):
    """The text tower: clips -> vectors of their text."""

    stage = TEXT

    def unusable(self, judge: Judge, clip: ClipInput) -> str | None:
        return judge.unread(clip)

    def encode(self, judge: Judge, clips: list[ClipInput]) -> list[Vector]:
        return judge.text_vectors([clip.text or "" for clip in clips])


class Classifier(ModelReplica):
    """The head: vectors of both towers -> results."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._heads: OrderedDict[str, Loaded] = OrderedDict()

    def check(self, model: ServedModel, former: ServedModel) -> None:
        _same_towers(model, former)

    def warm(self, judge: Judge, clip: ClipInput) -> None:
        del clip
        judge.keep(speech=False, text=False)

    def swapped(self, loaded: Loaded) -> None:
        self._heads[loaded.choice.digest] = loaded
        while len(self._heads) > _KEPT_HEADS:
            self._heads.popitem(last=False)

    @hop(CLASSIFYING)
    async def judge(
        self, speech: Vectors | Failed | None, text: Vectors | Failed | None
    ) -> Judged | Failed | Stale:
        """By the vectors of the towers there are; None for one that is not."""
        start = perf_counter()
        for failed in (speech, text):
            if isinstance(failed, Failed):
                return failed
        towers = [tower for tower in (speech, text) if isinstance(tower, Vectors)]
        if len({tower.digest for tower in towers}) != 1:
            return Stale("the towers are of two bundles")
        loaded = self._heads.get(towers[0].digest)
        if loaded is None:
            return Stale("the classifier does not know the towers' bundle yet")
        rows = list(zip(*(tower.rows for tower in towers), strict=True))
        usable = [row for row in rows if not any(isinstance(one, str) for one in row)]
        # Of each tower in turn the vectors of the usable clips: the speech tower stands first.
        columns: list[tuple[Any, ...]] = list(zip(*usable, strict=True))
        found = iter(
            loaded.judge.probabilities(
                columns[0] if speech is not None else (), columns[-1] if text is not None else ()
            )
            if usable
            else ()
        )
        results = tuple(
            next((NothingUsable(one) for one in row if isinstance(one, str)), None) or next(found)
            for row in rows
        )
        timings = {name: value for tower in towers for name, value in tower.timings_s.items()}
        timings[CLASSIFYING] = perf_counter() - start
        return Judged(towers[0].heard, results, loaded.model, timings)


def _same_towers(model: ServedModel, former: ServedModel) -> None:
    if (model.hears, model.reads) != (former.hears, former.reads):
        raise BundleError(
            f"{model.name} {model.version} has other towers than {former.name} {former.version}, "
            "which has a deployment for each of its own: deploy the application anew"
        )


def _bound(batched: Any, milliseconds: int, config: RunConfig) -> None:
    """How large batches of a method are, and how long they wait."""
    batched.set_max_batch_size(milliseconds)
    batched.set_batch_wait_timeout_s(config.serving.batch.wait_s)
