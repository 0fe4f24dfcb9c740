"""Speaks every turn once, in processes, into a cache that outlives a kill."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.errors import SynthesisError
from persona_ray.files import draft
from persona_ray.progress import Progress, Stage
from persona_ray.synth.config import Engine, SynthConfig
from persona_ray.synth.dialogue import Turn
from persona_ray.tts.base import Synthesizer, Voice

if TYPE_CHECKING:
    from persona_ray.types import Samples


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to be spoken."""

    text: str
    voice: Voice
    speed: float


def line_of(turn: Turn) -> Line:
    """What the engine is asked for; level, effort and pauses are put on afterwards."""
    return Line(turn.text, turn.voice, turn.prosody.rate)


def make_synthesizer(config: SynthConfig) -> Synthesizer:
    """The configured engine. Raises `SynthesisError` with the way to get what is missing."""
    if config.engine is Engine.KOKORO:
        from persona_ray.tts.kokoro import KokoroSynthesizer

        return KokoroSynthesizer(config.voices_folder)
    if config.engine is Engine.ESPEAK:
        from persona_ray.tts.espeak import EspeakSynthesizer

        return EspeakSynthesizer()
    from persona_ray.tts.tone import ToneSynthesizer

    return ToneSynthesizer()


class SpeechCache:
    """Spoken lines as FLAC, by hash of engine, text, voice and speed."""

    def __init__(self, folder: Path, engine: str) -> None:
        self._folder = folder
        self._engine = engine

    def path(self, line: Line) -> Path:
        voice = asdict(line.voice)
        del voice["name"]  # who it is does not change how it sounds
        identity = json.dumps([self._engine, line.text, voice, line.speed], ensure_ascii=False)
        key = hashlib.sha256(identity.encode()).hexdigest()[:32]
        return self._folder / key[:2] / f"{key}.flac"

    def read(self, line: Line) -> tuple[Samples, int]:
        """Samples (samples,) and rate in Hz. Raises `SynthesisError` when never spoken."""
        import soundfile

        path = self.path(line)
        if not path.is_file():
            raise SynthesisError(f"{line.text!r} is not in the speech cache {self._folder}: rerun")
        samples, rate_hz = soundfile.read(path, dtype="float32")
        return samples, int(rate_hz)

    def write(self, line: Line, samples: Samples, rate_hz: int) -> None:
        """Whole or not at all, so that a kill leaves nothing half written."""
        import soundfile

        path = self.path(line)
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft(path) as file:
            soundfile.write(file, samples, rate_hz, format="FLAC", subtype="PCM_16")


def speak_all(config: SynthConfig, turns: Iterable[Turn], progress: Progress) -> SpeechCache:
    """Speaks what is not in the cache yet and returns the cache."""
    engine = make_synthesizer(config)
    cache = SpeechCache(config.speech_cache, engine.name)
    lines = list(dict.fromkeys(line_of(turn) for turn in turns))
    missing = [line for line in lines if not cache.path(line).is_file()]
    with progress.stage("speaking lines", len(lines)) as stage:
        stage.advance(len(lines) - len(missing))
        if config.workers > 1 and len(missing) >= 2 * config.workers:
            _speak_in_processes(config, missing, stage)
        else:
            for line in missing:
                cache.write(line, *engine.synthesize(line.text, line.voice, line.speed))
                stage.advance()
    return cache


def _speak_in_processes(config: SynthConfig, missing: list[Line], stage: Stage) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        config.workers, mp_context=context, initializer=_start_worker, initargs=(config,)
    ) as pool:
        jobs = [pool.submit(_speak, batch) for batch in _batches(missing, 8)]
        try:
            for job in as_completed(jobs):
                stage.advance(job.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _batches(lines: list[Line], size: int) -> Iterator[list[Line]]:
    for start in range(0, len(lines), size):
        yield lines[start : start + size]


# Filled once in each worker process by `_start_worker`: a model loads in seconds.
_WORKER: dict[str, tuple[Synthesizer, SpeechCache]] = {}


def _start_worker(config: SynthConfig) -> None:
    engine = make_synthesizer(config)
    _WORKER["speaker"] = (engine, SpeechCache(config.speech_cache, engine.name))


def _speak(lines: list[Line]) -> int:
    engine, cache = _WORKER["speaker"]
    for line in lines:
        cache.write(line, *engine.synthesize(line.text, line.voice, line.speed))
    return len(lines)
