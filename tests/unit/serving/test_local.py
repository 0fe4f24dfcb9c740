"""The service in one process gives what the recogniser gives, and blocks nobody."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import soundfile

from persona_ray.audio.resample import resample
from persona_ray.audio.vad import VoiceActivity
from persona_ray.errors import NotAudioError
from persona_ray.serving.local import LocalService
from persona_ray.serving.service import PersonalityService, Recording
from persona_ray.types import Modality
from tests.unit.inference.test_personality import (
    CONFIG,
    Scripted,
    clips,
    recognizer,
    recording,
    speech,
)

__all__ = ["recording", "speech"]

pytestmark = pytest.mark.anyio


async def test_clips_are_those_of_the_recogniser() -> None:
    judge = recognizer()
    service: PersonalityService = LocalService(judge, "persona", "3")
    answer = await service.clips(clips())
    assert answer.result == judge.clips(clips())
    model = await service.model()
    assert answer.model == model
    assert (model.name, model.version, model.labels) == ("persona", "3", judge.labels)
    assert (model.hears, model.reads, model.sample_rate_hz) == (True, True, 8_000)
    assert set(answer.timings_s) == {"hearing", "judging"}
    assert answer.timings_s["judging"] > 0
    reads = await LocalService(recognizer(Modality.TEXT)).model()
    assert (reads.hears, reads.reads) == (False, True)


async def test_a_call_by_its_bytes_and_by_its_place(recording: Path) -> None:
    judge = recognizer(asr=Scripted("这个产品我想想"))
    service = LocalService(judge)
    uploaded = await service.call(Recording("call.wav", 1, recording.read_bytes()))
    named = await service.call(Recording("call.wav", 1, uri=str(recording)))
    assert uploaded.result == named.result == judge.recording(str(recording), 1)
    with pytest.raises(NotAudioError, match=r"notes\.wav"):
        await service.call(Recording("notes.wav", 0, b"no audio " * 90))


async def test_an_utterance_is_cut_as_the_call_it_is_from(recording: Path) -> None:
    judge = recognizer(asr=Scripted("这个产品我想想"))
    service = LocalService(judge)
    both, rate_hz = soundfile.read(recording, dtype="float32")
    track = np.ascontiguousarray(both[:, 1])
    track = resample(track, rate_hz, CONFIG.audio.sample_rate_hz)
    spans = VoiceActivity(CONFIG.vad).speech(track, CONFIG.audio.sample_rate_hz)
    answer = await service.utterance(track, CONFIG.audio.sample_rate_hz, spans)
    assert answer.result == list(judge.recording(str(recording), 1).sentences)
    said = await service.text(track, CONFIG.audio.sample_rate_hz, spans)
    assert said == "这个产品我想想" * len(spans)


async def test_the_loop_goes_on_while_a_call_is_heard(recording: Path) -> None:
    service = LocalService(recognizer(asr=Scripted("这个产品我想想")))
    call = asyncio.create_task(service.call(Recording("c", 1, recording.read_bytes())))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 5
