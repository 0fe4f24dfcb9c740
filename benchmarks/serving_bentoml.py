"""The chain of serving_load.py in BentoML, as its documentation would write it.

A service with an endpoint for each kind of request, which takes files as `Path`; the model stands
in a service of its own whose `batchable` endpoint BentoML batches adaptively, and which the first
depends on (`composed`), or in the first one itself (`whole`), without batches and without the way
between two processes. Settings come from the environment: BentoML imports this module in each of
its processes.

    SERVING_BENTOML='{"config": "configs/demo.yaml", "overrides": [], "workers": 2, "threads": 1,
    "batch": 1}' bentoml serve benchmarks.serving_bentoml:Whole
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from pydantic import BaseModel

from benchmarks.serving_inprocess import load_recognizer
from persona_ray.config import load_config

SETTINGS = json.loads(os.environ["SERVING_BENTOML"])
WORKERS, THREADS, BATCH = SETTINGS["workers"], SETTINGS["threads"], SETTINGS["batch"]
TIMEOUT_S, LATENCY_MS = 120, 20_000


class Clip(BaseModel):
    """`samples`: those of a float32 array."""

    samples: bytes
    sample_rate_hz: int
    text: str


def recognizer() -> Any:
    config = load_config(Path(SETTINGS["config"]), SETTINGS["overrides"])
    return load_recognizer(config, THREADS)


def decode(file: Path, text: str) -> Clip:
    from persona_ray.audio.decode import decode_bytes

    audio = decode_bytes(file.read_bytes(), "clip.wav", 60.0)
    samples = audio.samples[0].tobytes()
    return Clip(samples=samples, sample_rate_hz=audio.sample_rate_hz, text=text)


def judge(model: Any, clips: list[Clip]) -> list[dict[str, Any]]:
    from persona_ray.inference.clips import ClipInput

    inputs = [
        ClipInput(np.frombuffer(clip.samples, np.float32), clip.sample_rate_hz, clip.text or None)
        for clip in clips
    ]
    return [one.to_dict() for one in model.clips(inputs)]


@bentoml.service(workers=WORKERS, threads=1, traffic={"timeout": TIMEOUT_S})
class Whole:
    """All in one process, several of them."""

    def __init__(self) -> None:
        self.model = recognizer()

    @bentoml.api
    def clips(self, file: Path, text: str = "") -> dict[str, Any]:
        return judge(self.model, [decode(file, text)])[0]

    @bentoml.api
    def calls(self, file: Path, channel: int) -> dict[str, Any]:
        found: dict[str, Any] = self.model.upload(file.read_bytes(), "call.ogg", channel).to_dict()
        return found


@bentoml.service(workers=WORKERS, threads=1, traffic={"timeout": TIMEOUT_S})
class Model:
    """Behind the service that clients ask."""

    def __init__(self) -> None:
        self.model = recognizer()

    @bentoml.api(batchable=True, max_batch_size=max(2, BATCH), max_latency_ms=LATENCY_MS)
    def clips(self, clips: list[Clip]) -> list[dict[str, Any]]:
        return judge(self.model, clips)

    @bentoml.api
    def call(self, data: bytes, channel: int) -> dict[str, Any]:
        found: dict[str, Any] = self.model.upload(data, "call.ogg", channel).to_dict()
        return found


@bentoml.service(workers=1, traffic={"timeout": TIMEOUT_S})
class Composed:
    """Takes files, and asks the model for them."""

    model = bentoml.depends(Model)

    @bentoml.api
    async def clips(self, file: Path, text: str = "") -> dict[str, Any]:
        found: dict[str, Any] = (await self.model.to_async.clips([decode(file, text)]))[0]
        return found

    @bentoml.api
    async def calls(self, file: Path, channel: int) -> dict[str, Any]:
        found: dict[str, Any] = await self.model.to_async.call(file.read_bytes(), channel)
        return found
