"""Recognition with a bundle: clips, recordings, and everything that is no colour."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import NotAudioError, RecognitionError, UnreadableError
from persona_ray.inference.calls import cut_spans
from persona_ray.inference.clips import ClipInput, combine
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.types import CallRecord, Modality, NothingUsable, Recognition, Transcript, Word
from tests.unit.models.test_bimodal import LABELS, RATE_HZ, TEXTS, WAVES, small_model

CONFIG = load_config(None, ["archive.audio_root=", "cut.min_chars=3", "cut.max_clip_s=6"])


class Scripted:
    """A recogniser at the product's own seam: it says the same words wherever speech is."""

    name = "scripted"

    def __init__(self, text: str) -> None:
        self.text = text
        self.calls = 0

    def transcribe(
        self, _samples: NDArray[np.float32], _rate_hz: int, speech: Sequence[Span]
    ) -> Transcript:
        self.calls += 1
        words: list[Word] = []
        for span in speech:
            step = span.duration_s / max(1, len(self.text))
            words += [
                Word(character, span.start_s + i * step, span.start_s + (i + 1) * step)
                for i, character in enumerate(self.text)
            ]
        return Transcript(tuple(words), self.name)


class Forbidden:
    """Fails the test when anything is written down."""

    name = "forbidden"

    def transcribe(self, *_: Any) -> Transcript:
        raise AssertionError("no recogniser may run here")


class Broken:
    name = "broken"

    def transcribe(self, *_: Any) -> Transcript:
        raise RecognitionError("engine died")


def recognizer(
    modality: Modality = Modality.BOTH, asr: Any = None, config: RunConfig = CONFIG
) -> PersonalityRecognizer:
    return PersonalityRecognizer(small_model(modality), config, asr or Forbidden())


@pytest.fixture(scope="module")
def speech(shared_data: Path) -> tuple[NDArray[np.float32], int]:
    """One sentence of a person said twice, pauses around, (n,) and the rate."""
    file = shared_data / "aishell3" / "SSB00090181.flac"
    samples, rate_hz = soundfile.read(file, dtype="float32")
    pause = np.zeros(rate_hz, dtype=np.float32)
    return np.concatenate([pause, samples, pause, samples, pause]), rate_hz


def clips() -> list[ClipInput]:
    rng = np.random.default_rng(0)
    return [
        ClipInput(
            (0.1 * rng.standard_normal(int(rng.integers(500, 20_000)))).astype(np.float32),
            RATE_HZ,
            TEXTS[i % 3],
        )
        for i in range(17)
    ]


@pytest.mark.parametrize("modality", list(Modality))
def test_a_clips_result_does_not_depend_on_its_neighbours(
    modality: Modality, monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_ray.inference import judge as stage

    judge = recognizer(modality)
    together = judge.clips(clips())
    monkeypatch.setattr(stage, "BATCH_S", 3.0)
    monkeypatch.setattr(stage, "BATCH_TEXTS", 4)
    in_small_batches = judge.clips(clips())
    alone = [judge.clip(clip) for clip in clips()]
    for results in zip(together, in_small_batches, alone, strict=True):
        first, *others = [found.result for found in results]
        assert isinstance(first, Recognition)
        assert sum(first.probabilities.values()) == pytest.approx(1.0, abs=1e-12)
        assert tuple(first.probabilities) == LABELS
        for other in others:
            assert isinstance(other, Recognition)
            assert other.probabilities == pytest.approx(first.probabilities, abs=1e-5)
    assert len({tuple(found.result.probabilities.values()) for found in together}) > 2  # type: ignore[union-attr]


def test_what_cannot_be_judged_is_a_result_that_says_why() -> None:
    nan = np.full(800, np.nan, dtype=np.float32)
    inputs = [
        ClipInput(np.zeros(8_000, dtype=np.float32), RATE_HZ, "你好"),
        ClipInput(np.zeros(0, dtype=np.float32), RATE_HZ, "你好"),
        ClipInput(None, RATE_HZ, "你好"),
        ClipInput(nan, RATE_HZ, "你好"),
        ClipInput(WAVES[0], RATE_HZ, "  "),
        ClipInput(WAVES[0], RATE_HZ, "你好"),
    ]
    results = [found.result for found in recognizer().clips(inputs)]
    reasons = [result.reason for result in results if isinstance(result, NothingUsable)]
    assert reasons == [
        "silence",
        "no audio",
        "no audio",
        "audio with samples that are no numbers",
        "no words",
    ]
    assert isinstance(results[-1], Recognition)
    combined = combine(results)
    assert isinstance(combined, Recognition)
    assert combined.clips == 1


def test_each_model_needs_only_what_it_uses() -> None:
    reads = recognizer(Modality.TEXT).clip(ClipInput(None, 0, "这个产品"))
    assert isinstance(reads.result, Recognition)
    hears = recognizer(Modality.SPEECH).clip(ClipInput(WAVES[0], RATE_HZ))
    assert isinstance(hears.result, Recognition)
    assert hears.text is None


def test_a_bundle_gives_the_same_result_as_the_model_it_was_saved_from(tmp_path: Path) -> None:
    model = small_model()
    save_bundle(model, tmp_path / "bundle", contract_of(model, "", {}, {}))
    loaded = PersonalityRecognizer.load(tmp_path / "bundle", CONFIG, device="cpu")
    assert loaded.clips(clips()) == recognizer().clips(clips())


def test_a_missing_text_is_written_down_from_the_speech(
    speech: tuple[NDArray[np.float32], int],
) -> None:
    samples, rate_hz = speech
    asr = Scripted("这个产品")
    found = recognizer(asr=asr).clip(ClipInput(samples[: 4 * rate_hz], rate_hz))
    assert asr.calls == 1
    assert found.text is not None
    assert found.text.startswith("这个产品")
    given = recognizer().clip(ClipInput(samples[: 4 * rate_hz], rate_hz, found.text))
    assert found == given
    hum = np.sin(np.arange(8_000) / 20).astype(np.float32) * np.float32(0.1)
    nobody = recognizer(asr=Forbidden()).clip(ClipInput(hum, RATE_HZ))
    assert nobody.result == NothingUsable("no words")


@pytest.fixture
def recording(speech: tuple[NDArray[np.float32], int], tmp_path: Path) -> Path:
    """Stereo: a hum on channel 0, the person on channel 1."""
    samples, rate_hz = speech
    hum = 0.05 * np.sin(np.arange(len(samples)) / 20)
    soundfile.write(tmp_path / "call.wav", np.stack([hum, samples], axis=1), rate_hz)
    return tmp_path / "call.wav"


def test_a_recording_is_cut_written_down_and_summed_up(recording: Path) -> None:
    asr = Scripted("这个产品我想想")
    judge = recognizer(asr=asr)
    found = judge.recording(str(recording), channel=1)
    assert len(found.sentences) >= 2
    assert found.result == combine([sentence.result for sentence in found.sentences])
    assert all(sentence.text == asr.text for sentence in found.sentences)
    starts = [sentence.start_s for sentence in found.sentences]
    assert starts == sorted(starts)
    assert starts[0] > 0.5


def test_a_transcript_that_is_given_is_not_made_again(recording: Path) -> None:
    words = tuple(
        Word(character, 1.2 + 0.2 * i, 1.4 + 0.2 * i) for i, character in enumerate("这个产品呢")
    )
    given = Transcript(words, "archive", channel=1)
    found = recognizer().recording(str(recording), 1, given)
    assert [sentence.text for sentence in found.sentences] == ["这个产品呢"]
    assert isinstance(found.result, Recognition)


def test_a_model_that_does_not_read_runs_no_recogniser(recording: Path) -> None:
    found = recognizer(Modality.SPEECH).recording(str(recording), 1)
    assert len(found.sentences) >= 2
    assert all(sentence.text is None for sentence in found.sentences)
    assert isinstance(found.result, Recognition)


@pytest.mark.parametrize("modality", [Modality.BOTH, Modality.SPEECH])
def test_a_channel_where_nobody_speaks_is_a_result(recording: Path, modality: Modality) -> None:
    found = recognizer(modality).recording(str(recording), 0)
    assert isinstance(found.result, NothingUsable)
    assert "no speech detected" in found.result.reason
    assert found.sentences == ()


def test_only_short_answers_are_a_result_too(recording: Path) -> None:
    found = recognizer(asr=Scripted("嗯")).recording(str(recording), 1)
    assert isinstance(found.result, NothingUsable)
    assert "short" in found.result.reason


@pytest.mark.parametrize("modality", [Modality.BOTH, Modality.SPEECH])
@pytest.mark.parametrize("said", ["", "嗯"])
def test_nothing_usable_of_a_damaged_file_says_so(
    modality: Modality, said: str, recording: Path, tmp_path: Path
) -> None:
    samples, rate_hz = soundfile.read(recording)
    # Of a model that reads the words are too short; of one that hears there is no speech at all.
    track = samples[:, 1] if said and modality is Modality.BOTH else samples[:, 0]
    soundfile.write(tmp_path / "call.ogg", np.tile(track, 6), rate_hz)
    whole = (tmp_path / "call.ogg").read_bytes()
    pages = [match.start() for match in re.finditer(b"OggS", whole)]
    damaged = whole[: pages[-3]] + whole[pages[-2] :]
    judge = recognizer(modality, asr=Scripted(said))
    found = judge.upload(damaged, "call.ogg", 0)
    assert isinstance(found.result, NothingUsable)
    assert "cut_short" in found.flags
    assert "damaged" in found.result.reason
    sound = judge.upload(whole, "call.ogg", 0)
    assert isinstance(sound.result, NothingUsable)
    assert "cut_short" not in sound.flags
    assert "damaged" not in sound.result.reason


def test_files_that_are_no_call_are_errors(tmp_path: Path, recording: Path) -> None:
    (tmp_path / "notes.wav").write_text("no audio at all " * 40)
    for modality in (Modality.BOTH, Modality.SPEECH):
        with pytest.raises(NotAudioError, match=r"notes\.wav"):
            recognizer(modality).recording(str(tmp_path / "notes.wav"), 0)
        with pytest.raises(UnreadableError, match=r"gone\.wav"):
            recognizer(modality).recording(str(tmp_path / "gone.wav"), 0)
    with pytest.raises(RecognitionError, match="engine died"):
        recognizer(asr=Broken()).recording(str(recording), 1)


def test_a_swapped_channel_of_the_archive_is_mended(recording: Path) -> None:
    """A row of the archive may name the wrong channel; a person who asks for one means it."""

    class ByChannel(Scripted):
        def transcribe(
            self, samples: NDArray[np.float32], rate_hz: int, speech: Sequence[Span]
        ) -> Transcript:
            self.text = "工号一二三很高兴为您服务" if self.calls == 0 else "这个产品我想想"
            return super().transcribe(samples, rate_hz, speech)

    samples, rate_hz = soundfile.read(recording, dtype="float32")
    both = np.stack([samples[:, 1], 0.8 * np.roll(samples[:, 1], rate_hz // 2)], axis=1)
    soundfile.write(recording, both, rate_hz)
    record = CallRecord("call-1", "customer-1", str(recording), customer_channel=1, channels=2)
    mended = recognizer(asr=ByChannel("")).call(record)
    assert "channel_swapped" in mended.flags
    assert {sentence.text for sentence in mended.sentences} == {"这个产品我想想"}
    asked = recognizer(asr=ByChannel("")).recording(str(recording), 1)
    assert "channel_swapped" not in asked.flags
    assert {sentence.text for sentence in asked.sentences} == {"工号一二三很高兴为您服务"}


def test_spans_become_sentences_by_gaps_and_length() -> None:
    config = CONFIG.cut
    spans = [Span(0.0, 1.0), Span(1.2, 2.0), Span(3.0, 3.1), Span(4.0, 18.5), Span(18.6, 19.5)]
    found = cut_spans(spans, config)
    assert found[0] == Span(0.0, 2.0), "joined across 0.2 s"
    assert all(0.3 <= span.duration_s <= config.max_clip_s for span in found)
    long = [span for span in found if 4.0 <= span.start_s < 18.5]
    assert [round(span.duration_s, 3) for span in long] == [4.833] * 3
    assert found[-1] == Span(18.6, 19.5)
    assert cut_spans([], config) == []


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_bundles_temperature_divides_the_logits(temperature: float, tmp_path: Path) -> None:
    model = small_model()
    contract = contract_of(model, "", {}, {}).with_temperature(temperature)
    save_bundle(model, tmp_path / "bundle", contract)
    cooled = PersonalityRecognizer.load(tmp_path / "bundle", CONFIG, device="cpu").clips(clips())
    for found, plain in zip(cooled, recognizer().clips(clips()), strict=True):
        assert isinstance(found.result, Recognition)
        assert isinstance(plain.result, Recognition)
        weights = np.array(list(plain.result.probabilities.values())) ** (1 / temperature)
        expected = weights / weights.sum()
        assert list(found.result.probabilities.values()) == pytest.approx(expected.tolist())
        assert found.result.primary == plain.result.primary
