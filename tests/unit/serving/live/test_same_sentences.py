"""A live call gives the sentences of its recording: times, texts, sound and colours."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from persona_ray.asr.utterances import believable, in_order, utterances, within
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import Span
from persona_ray.config import load_config
from persona_ray.inference.clips import SentenceRecognition
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.serving.live.protocol import Ended
from persona_ray.serving.local import LocalService
from persona_ray.store import Store
from persona_ray.types import Modality, Recognition, Transcript, Word
from tests.unit.models.test_bimodal import small_model
from tests.unit.serving.live.lines import (
    application,
    frames_of,
    key_of,
    whole_call,
)
from tests.unit.serving.live.sounds import RATE_HZ, recorded

# As recognisers give them: punctuation stands with what it closes.
SAID = (*"我想问一下这个产品有没有书面的合同", "先，", "好。")


class ByEar:
    """A recogniser as ours are built, without a model: a character for each fifth of a second, that
    depends on every sample its utterance was decoded from."""

    name = "by-ear"

    def transcribe(
        self, samples: NDArray[np.float32], rate_hz: int, speech: Sequence[Span]
    ) -> Transcript:
        words: list[Word] = []
        for unit in utterances(samples, rate_hz, speech, gap_s=0.5, max_s=15.0, keep_s=0.4):
            part = samples[round(unit.start_s * rate_hz) : round(unit.end_s * rate_hz)]
            digest = hashlib.sha256(part.tobytes()).digest()
            heard = [
                Word(
                    SAID[digest[number % 32] % len(SAID)],
                    unit.start_s + number * 0.2,
                    unit.start_s + number * 0.2 + 0.15,
                )
                for number in range(int(unit.duration_s / 0.2))
            ]
            words += believable(heard, within(speech, unit))
        return Transcript(in_order(words), self.name)


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("2026-02/K00046.ogg", Modality.BOTH),
        # Without a recogniser it is cut by silence alone.
        ("2026-02/K00004.ogg", Modality.SPEECH),
        ("human", Modality.BOTH),
        ("human", Modality.SPEECH),
    ],
)
def test_a_live_call_is_judged_as_its_recording(
    modality: Modality, name: str, tmp_path: Path, store: Store, request: pytest.FixtureRequest
) -> None:
    config = load_config(
        None, [f"workspace={tmp_path}", "serving.live.end_gap_s=0.9", "cut.min_chars=3"]
    )
    sound = people(request.getfixturevalue("shared_data")) if name == "human" else recorded(name)
    # As a file of 16 bits has it.
    sound = (np.rint(sound * 32_768) / 32_768).astype(np.float32)
    recognizer = PersonalityRecognizer(small_model(modality), config, ByEar())
    file = tmp_path / "call.wav"
    soundfile.write(file, (sound * 32_768).astype(np.int16), RATE_HZ)
    expected = recognizer.recording(str(file), 0)
    with TestClient(application(config, LocalService(recognizer), store)) as client:
        heard = whole_call(client, key_of(store), frames_of(sound, 160))
    assert len(expected.sentences) > 2
    assert [(one.start_s, one.end_s, one.text) for one in heard.sentences] == [
        (round(one.start_s, 3), round(one.end_s, 3), one.text) for one in expected.sentences
    ]
    for found, one in zip(heard.sentences, expected.sentences, strict=True):
        assert found.probabilities == pytest.approx(probabilities(one), abs=1e-5)
    end = heard.events[-1]
    assert isinstance(end, Ended)
    assert isinstance(expected.result, Recognition)
    assert end.together.probabilities == pytest.approx(expected.result.probabilities, abs=1e-5)


def probabilities(sentence: SentenceRecognition) -> dict[str, float]:
    assert isinstance(sentence.result, Recognition)
    return dict(sentence.result.probabilities)


def people(shared_data: Path) -> NDArray[np.float32]:
    """People one after the other, with pauses of many lengths between them."""
    rng = np.random.default_rng(5)
    parts = []
    for path in sorted((shared_data / "aishell3").glob("*.flac"))[:8]:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        parts.append(resample(samples, rate_hz, RATE_HZ))
        parts.append(np.zeros(int(rng.uniform(0.2, 1.6) * RATE_HZ), np.float32))
    return np.concatenate(parts)
