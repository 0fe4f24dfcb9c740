"""The pages over a small model and a small corpus, served by uvicorn in a thread: no Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from persona_ray.config import RunConfig
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.local import LocalService
from persona_ray.serving.models_desk import ModelsDesk
from persona_ray.serving.routes.annotate import annotate
from persona_ray.serving.routes.health import health
from persona_ray.serving.routes.live import live_calls
from persona_ray.serving.routes.models import models
from persona_ray.serving.routes.pages import pages
from persona_ray.serving.routes.recognitions import recognitions
from persona_ray.store import Store
from persona_ray.types import Transcript, Word
from tests.unit.models.test_bimodal import small_model


class Spoken:
    """A recogniser that writes down, for any speech, what a customer might say."""

    name = "spoken"
    text = "这个产品有没有书面的合同"

    def transcribe(self, _samples: Any, _rate_hz: int, speech: Sequence[Any]) -> Transcript:
        words: list[Word] = []
        for span in speech:
            step = span.duration_s / len(self.text)
            words += [
                Word(character, span.start_s + i * step, span.start_s + (i + 1) * step)
                for i, character in enumerate(self.text)
            ]
        return Transcript(tuple(words), self.name)


@dataclass(frozen=True)
class Served:
    """Where the pages are, and what is behind them."""

    address: str
    services: Services


@contextlib.contextmanager
def serve(config: RunConfig, store: Store, desk: ModelsDesk) -> Iterator[Served]:
    """The application of colours on a free port of this machine."""
    recognizer = PersonalityRecognizer(small_model(), config, Spoken())
    services = Services(config, LocalService(recognizer, version="2"), store)
    routers = (pages, health, recognitions, live_calls, annotate, models(desk))
    with served_in_thread(build_app(services, routers)) as address:
        yield Served(address, services)


def pcm_wav(sources: Sequence[Path], target: Path) -> Path:
    """Speech as Chromium's fake microphone wants it: 16-bit PCM at 48 kHz, a second of silence
    around each file."""
    import numpy as np
    import soundfile
    import torch
    import torchaudio

    pause = np.zeros(48_000, dtype=np.float32)
    pieces = [pause]
    for source in sources:
        samples, rate_hz = soundfile.read(source, dtype="float32")
        spoken = torchaudio.functional.resample(torch.from_numpy(samples), rate_hz, 48_000)
        pieces += [spoken.numpy(), pause]
    soundfile.write(target, np.concatenate(pieces), 48_000, subtype="PCM_16")
    return target
