"""The real service on a cluster of its own, and what can be done to it."""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from persona_ray.audio.decode import decode_bytes, read_audio
from persona_ray.audio.vad import Span, VoiceActivity
from persona_ray.config import RunConfig, load_config
from persona_ray.config.serving import ScaleConfig
from persona_ray.inference.clips import ClipInput, ClipRecognition
from persona_ray.inference.hearing import Hearing
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.serving.deploy.deployments import Asr, Whole
from persona_ray.serving.deploy.proxy import ENVIRONMENT
from persona_ray.serving.deploy.stages import FindBundle
from persona_ray.serving.schemas import clip_answer
from persona_ray.types import Transcript, Word
from tests.conftest import REPOSITORY
from tests.drills.load import Asked, Upload
from tests.drills.nodes import Nodes, cluster, free_port, tree
from tests.unit.models.test_bimodal import TEXTS, small_model

APP = "drill"
CALLS = ("2026-02/K00046.ogg", "2026-02/K00049.ogg")
_ARCHIVE = REPOSITORY / "demo/archive/audio"
_DEPLOYMENTS = ("ingress", "asr", "speech", "text", "classifier")
# Of the cluster's processes. Replicas import the stand-in.
PROCESSES = ENVIRONMENT | {"PYTHONPATH": str(REPOSITORY)}
_TITLES = {"proxy": "ProxyActor", "controller": "ServeController"}


class StandIn:
    """A quick recogniser: what it says of a span depends on the sound in it. `work_s`: how long it
    takes, so that what happens to a replica happens under a request."""

    name = "stand-in"

    def __init__(self, work_s: float = 0.0) -> None:
        self._work_s = work_s

    def transcribe(
        self, samples: NDArray[np.float32], rate_hz: int, speech: Sequence[Span]
    ) -> Transcript:
        time.sleep(self._work_s)
        words: list[Word] = []
        for span in speech:
            part = samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)]
            text = TEXTS[int(1000 * np.abs(part).sum()) % len(TEXTS)]
            step = span.duration_s / len(text)
            words += [
                Word(character, span.start_s + n * step, span.start_s + (n + 1) * step)
                for n, character in enumerate(text)
            ]
        return Transcript(tuple(words), self.name)


class StandInAsr(Asr):
    """The deployment with the quick recogniser."""

    def __init__(self, config: RunConfig, workers: int, warm: bool) -> None:
        super().__init__(config, workers, False)
        del warm
        self._hearing = Hearing(config, recognizer=StandIn(0.1))


class StandInWhole(Whole):
    """The same, with the models in it."""

    def __init__(
        self, config: RunConfig, scale: ScaleConfig, find: FindBundle, workers: int, warm: bool
    ) -> None:
        super().__init__(config, scale, find, workers, False)
        del warm
        self._hearing = Hearing(config, recognizer=StandIn(0.1))


def bundles(folder: Path) -> tuple[Path, Path]:
    """Two bundles with the same towers and other weights."""
    for seed in (0, 1):
        model = small_model(seed=seed)
        save_bundle(model, folder / str(seed), contract_of(model, "", {}, {}))
    return folder / "0", folder / "1"


def sentences(count: int = 6) -> list[bytes]:
    """Of customers, as wav of two seconds with speech in them."""
    found: list[bytes] = []
    voice = VoiceActivity(load_config(None, []).vad)
    for name in CALLS:
        audio = read_audio(name, str(_ARCHIVE))
        track, rate_hz = np.ascontiguousarray(audio.samples[1]), audio.sample_rate_hz
        for span in voice.speech(track, rate_hz):
            if span.duration_s > 0.8 and len(found) < count:
                begin = max(0, round((span.start_s - 0.2) * rate_hz))
                file = io.BytesIO()
                soundfile.write(file, track[begin : begin + 2 * rate_hz], rate_hz, format="WAV")
                found.append(file.getvalue())
    assert len(found) == count
    return found


def call_audio() -> bytes:
    """A whole call."""
    return (_ARCHIVE / CALLS[0]).read_bytes()


def call_track() -> tuple[NDArray[np.float32], int]:
    """Its customer's side (n,), and the rate."""
    audio = read_audio(CALLS[0], str(_ARCHIVE))
    return np.ascontiguousarray(audio.samples[1]), audio.sample_rate_hz


@dataclass
class Service:
    """The application `drill` at `url`."""

    nodes: Nodes
    url: str
    folder: Path
    overrides: tuple[str, ...] = ()
    version: str = "1"

    def config(self, bundle: Path) -> RunConfig:
        shares = (f"serving.{name}.cpus=0.1" for name in _DEPLOYMENTS)
        return load_config(
            None,
            [
                f"workspace={self.folder}",
                f"serving.bundle={bundle}",
                "serving.keys.required=false",
                "tracking.url=off",
                "cut.min_chars=3",
                "cut.max_clip_s=6",
                "archive.audio_root=",
                *shares,
                *self.overrides,
            ],
        )

    def deploy(self, bundle: Path) -> None:
        """Run the application; where only the bundle is another, as a swap through user_config."""
        from ray import serve

        from persona_ray.apps.bundles import choose_bundle
        from persona_ray.apps.personality import build_for

        config = self.config(bundle)
        with (
            mock.patch("persona_ray.serving.deploy.graph.Asr", StandInAsr),
            mock.patch("persona_ray.serving.deploy.graph.Whole", StandInWhole),
        ):
            app = build_for(config, choose_bundle(config, str(bundle)), version=self.version)
            serve.run(app, name=APP, route_prefix="/")

    def served(self, bundle: Path) -> str:
        """Its version, as answers name it."""
        from persona_ray.apps.bundles import choose_bundle

        return choose_bundle(self.config(bundle), str(bundle)).version

    def asked(self, bundle: Path) -> list[Asked]:
        """Requests of every kind, with what the recogniser says of them without any service."""
        config = self.config(bundle)
        model = PersonalityRecognizer.load(bundle, config, device="cpu").judge.model
        alone = PersonalityRecognizer(model, config, StandIn())
        sounds, asked = sentences(), []
        for number, sound in enumerate(sounds):
            text = TEXTS[number % len(TEXTS)] if number % 2 else None
            audio = decode_bytes(sound, "a.wav", 60.0)
            clip = ClipInput(audio.samples[0].copy(), audio.sample_rate_hz, text)
            expected = [expected_of(found) for found in alone.clips([clip])]
            form = {} if text is None else {"texts": text}
            asked.append(
                Asked("/v1/recognitions/clips", (Upload("files", sound),), form, "clips", expected)
            )
        data = call_audio()
        whole = alone.hearing.upload(data, "call.ogg", 1)
        results = alone.pieces(whole)
        expected = [expected_of(ClipRecognition(one.result, one.text)) for one in results.sentences]
        form = {"channel": "1"}
        upload = (Upload("file", data),)
        asked.append(Asked("/v1/recognitions/calls", upload, form, "sentences", expected))
        return asked

    def processes(self, role: str) -> list[psutil.Process]:
        """Of a deployment's replicas, of the proxy or the controller: of this cluster alone, which
        is below this process."""
        title = re.compile(rf"ray::{_TITLES.get(role, f'ServeReplica:{APP}:{role}')}(\.\w+)?$")
        return [p for p in tree(os.getpid()) if title.match(_title(p))]

    def kill(self, role: str) -> int:
        """kill -9 of one process of a role; its pid."""
        there = self.processes(role)
        assert there, f"no process of {role}"
        there[0].kill()
        return int(there[0].pid)


def expected_of(clip: ClipRecognition) -> dict[str, Any]:
    return clip_answer(clip).model_dump()


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.Error:
        return ""


@contextmanager
def service(folder: Path, *overrides: str, **environment: str) -> Iterator[Service]:
    """A cluster with Serve on it, connected to; nothing is deployed yet."""
    with (
        cluster(8, False, **PROCESSES, **environment) as nodes,
        served(nodes, folder, "127.0.0.1", *overrides) as running,
    ):
        yield running


@contextmanager
def served(nodes: Nodes, folder: Path, address: str, *overrides: str) -> Iterator[Service]:
    """Serve on a cluster, asked at an address of its head; every node that has it has a proxy."""
    import ray
    from ray import serve

    ray.init(address=nodes.address, log_to_driver=False, logging_level="error")
    try:
        http = {"host": address if address == "127.0.0.1" else "0.0.0.0", "port": free_port()}
        serve.start(proxy_location="EveryNode", http_options=http)
        yield Service(nodes, f"http://{address}:{http['port']}", folder, overrides)
    finally:
        ray.shutdown()
