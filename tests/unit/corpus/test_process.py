"""One call to clips: real audio, the real speech detector, a recogniser of the tests' own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from persona_ray.asr.lazy import LazyRecognizer
from persona_ray.audio.coding import decode_flac
from persona_ray.audio.vad import Span, VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.corpus.process import process_call
from persona_ray.corpus.records import BadRow, CallResult
from persona_ray.errors import ConfigError, EngineUnavailableError, RecognitionError
from persona_ray.types import (
    CallRecord,
    CallStatus,
    QuarantineReason,
    Transcript,
    Word,
)
from tests.unit.corpus.calls import SENTENCES, track, words_at, write_call

if TYPE_CHECKING:
    from persona_ray.types import Samples

GREETING = "您好工号一二三为您服务请问有什么可以帮到您"
VAD = VoiceActivity(RunConfig().vad)


class Says:
    """Recogniser that finds given words on a channel, told apart by its first spoken second."""

    name = "says"

    def __init__(self, *answers: Sequence[tuple[str, float, float]] | Exception) -> None:
        self.answers = list(answers)
        self.heard: list[tuple[int, int]] = []

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        assert speech
        self.heard.append((len(samples), rate_hz))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Transcript(tuple(Word(*word) for word in answer), source=self.name)


NEVER = Says()


def record(folder: Path, **changes: object) -> CallRecord:
    fields = {
        "call_id": "c1",
        "customer_id": "k1",
        "audio_uri": "c1.wav",
        "customer_channel": 1,
        "channels": 2,
        "scene": "fund",
        "facts": {"city": "杭州"},
    }
    if not (folder / "c1.wav").exists():
        write_call(folder / "c1.wav", track([1.0, 4.0], 7.0), track([3.1], 7.0, 0.6, 220))
    return CallRecord(**(fields | changes))  # type: ignore[arg-type]


def ready(*sentences: tuple[str, float]) -> dict[int, Transcript]:
    words = [word for text, start_s in sentences for word in words_at(text, start_s)]
    return {1: Transcript(tuple(Word(*word) for word in words), "archive", 1)}


def process(
    folder: Path, call: CallRecord | BadRow, recognizer: Says = NEVER, **sections: object
) -> CallResult:
    config = RunConfig.model_validate({"archive": {"audio_root": str(folder)}} | sections)
    return process_call(call, recognizer, VAD, config)


def test_a_call_with_a_transcript_becomes_clips(tmp_path: Path) -> None:
    call = record(tmp_path, transcripts=ready((SENTENCES[0], 1.0), (SENTENCES[1], 4.0)))
    result = process(tmp_path, call)
    assert [clip.info.text for clip in result.clips] == [SENTENCES[0], SENTENCES[1]]
    for clip, start_s in zip(result.clips, (1.0, 4.0), strict=True):
        info = clip.info
        assert info.start_s == pytest.approx(start_s, abs=0.35)
        assert info.end_s == pytest.approx(start_s + 2.0, abs=0.4)
        assert (info.call_id, info.customer_id, info.channel) == ("c1", "k1", 1)
        assert (info.scene, info.facts) == ("fund", {"city": "杭州"})
        assert all(info.start_s <= w.start_s <= w.end_s <= info.end_s for w in info.words)
        # The audio of the clip is that of the call at that place.
        samples, rate_hz = decode_flac(clip.audio)
        assert rate_hz == 8000
        first = round(info.start_s * 8000)
        expected = track([1.0, 4.0], 7.0)[first : first + len(samples)]
        np.testing.assert_allclose(samples, expected, atol=2 / 32768)
        assert len(samples) == round(info.end_s * 8000) - first
    outcome = result.outcome
    assert (outcome.status, outcome.clips, outcome.channel) == (CallStatus.OK, 2, 1)
    assert (outcome.audio_s, outcome.transcript_source) == (7.0, "archive")
    assert outcome.speech_s == pytest.approx(4.0, abs=0.8)
    assert outcome.clips_s == pytest.approx(sum(c.info.duration_s for c in result.clips))


def test_clip_ids_say_where_the_clip_stands(tmp_path: Path) -> None:
    call = record(tmp_path, transcripts=ready((SENTENCES[0], 1.0), (SENTENCES[1], 4.0)))
    ids = [clip.info.clip_id for clip in process(tmp_path, call).clips]
    assert len(set(ids)) == 2
    other = record(tmp_path, transcripts=ready((SENTENCES[2], 1.0), (SENTENCES[1], 4.0)))
    assert [clip.info.clip_id for clip in process(tmp_path, other).clips] == ids
    renamed = record(tmp_path, call_id="c2", transcripts=call.transcripts)
    assert not {clip.info.clip_id for clip in process(tmp_path, renamed).clips} & set(ids)


def test_without_a_transcript_the_recogniser_hears_the_customer(tmp_path: Path) -> None:
    recognizer = Says(words_at(SENTENCES[0], 1.0))
    result = process(tmp_path, record(tmp_path), recognizer)
    assert [clip.info.text for clip in result.clips] == [SENTENCES[0]]
    assert result.outcome.transcript_source == "says"
    assert recognizer.heard == [(7 * 8000, 8000)]


def test_the_archives_transcript_can_be_left_aside(tmp_path: Path) -> None:
    call = record(tmp_path, transcripts=ready((SENTENCES[0], 1.0)))
    recognizer = Says(words_at(SENTENCES[3], 1.0))
    result = process(tmp_path, call, recognizer, asr={"reuse_transcripts": False})
    assert [clip.info.text for clip in result.clips] == [SENTENCES[3]]


def test_short_sentences_are_dropped_and_counted(tmp_path: Path) -> None:
    call = record(tmp_path, transcripts=ready(("好的，谢谢你，再见！", 1.0), (SENTENCES[1], 4.0)))
    result = process(tmp_path, call)
    assert [clip.info.text for clip in result.clips] == [SENTENCES[1]]
    # Ten characters with punctuation, seven without.
    assert result.outcome.dropped == {"short": 1}
    assert len(process(tmp_path, call, cut={"min_chars": 7}).clips) == 2
    assert len(process(tmp_path, call, cut={"min_chars": 8}).clips) == 1


def test_words_where_nobody_speaks_are_dropped(tmp_path: Path) -> None:
    """Recognisers invent text for silence, and transcripts may belong to a longer recording."""
    transcripts = ready((SENTENCES[0], 1.0), (SENTENCES[2], 9.0))
    result = process(tmp_path, record(tmp_path, transcripts=transcripts))
    assert result.outcome.dropped == {"outside_audio": 1}
    write_call(tmp_path / "long.wav", track([1.0], 12.0))
    call = record(tmp_path, audio_uri="long.wav", transcripts=transcripts)
    assert process(tmp_path, call).outcome.dropped == {"no_speech": 1}


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        ([], "no words recognised"),
        (
            [*words_at("好的。", 1.0), *words_at("谢谢。", 2.5), *words_at(SENTENCES[2], 9.0)],
            "no sentence can be used: 2 too short (fewer than 10 characters, cut.min_chars), "
            "1 after the end of the audio",
        ),
    ],
)
def test_a_call_with_nothing_usable_says_so(
    tmp_path: Path, words: list[tuple[str, float, float]], detail: str
) -> None:
    outcome = process(tmp_path, record(tmp_path), Says(words)).outcome
    assert (outcome.status, outcome.reason) == (CallStatus.NOTHING_USABLE, None)
    assert (outcome.detail, outcome.clips) == (detail, 0)


@pytest.mark.parametrize(
    ("audio", "reason"),
    [
        (b"", QuarantineReason.EMPTY_FILE),
        (b"dear diary, " * 100, QuarantineReason.NOT_AUDIO),
        (None, QuarantineReason.UNREADABLE),
        (np.zeros(40_000, np.float32), QuarantineReason.SILENT),
        (
            (0.1 * np.random.default_rng(0).standard_normal(40_000)).astype(np.float32),
            QuarantineReason.SILENT,
        ),
    ],
)
def test_a_call_that_cannot_be_used_is_set_aside(
    tmp_path: Path, audio: bytes | np.ndarray | None, reason: QuarantineReason
) -> None:
    if isinstance(audio, bytes):
        (tmp_path / "x.wav").write_bytes(audio)
    elif audio is not None:
        write_call(tmp_path / "x.wav", audio)
    result = process(tmp_path, record(tmp_path, audio_uri="x.wav"))
    assert (result.outcome.status, result.outcome.reason) == (CallStatus.QUARANTINED, reason)
    assert "x.wav" in result.outcome.detail
    assert "\n" not in result.outcome.detail
    assert result.clips == ()


def test_a_bad_row_is_set_aside_as_it_came() -> None:
    row = BadRow("c9", QuarantineReason.BAD_TRANSCRIPT, "no JSON", "k9", "a.wav")
    outcome = process(Path(), row).outcome
    assert (outcome.reason, outcome.detail) == (row.reason, "no JSON")
    assert (outcome.call_id, outcome.customer_id, outcome.audio_uri) == ("c9", "k9", "a.wav")


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA\nout of memory"), RecognitionError("engine failed")]
)
def test_a_failing_recogniser_costs_one_call(tmp_path: Path, error: Exception) -> None:
    outcome = process(tmp_path, record(tmp_path), Says(error)).outcome
    assert outcome.reason is QuarantineReason.RECOGNISER_FAILED
    assert outcome.detail == f"{type(error).__name__}: {' '.join(str(error).split())}"


@pytest.mark.parametrize("error", [EngineUnavailableError("no weights"), ConfigError("clash")])
def test_what_concerns_every_call_ends_the_job(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        process(tmp_path, record(tmp_path), Says(error))


def test_a_recogniser_that_cannot_be_loaded_ends_the_job(tmp_path: Path) -> None:
    def build(_: object) -> Says:
        raise RuntimeError("model.bin:\nbad magic")

    lazy = LazyRecognizer(RunConfig().asr, build)
    call = record(tmp_path, transcripts=ready((SENTENCES[0], 1.0)))
    config = RunConfig.model_validate({"archive": {"audio_root": str(tmp_path)}})
    # A call with a transcript does not need it.
    assert process_call(call, lazy, VAD, config).clips
    with pytest.raises(EngineUnavailableError, match=r"whisper 'base' .*model\.bin: bad magic"):
        process_call(record(tmp_path), lazy, VAD, config)


def test_an_oddity_nobody_thought_of_costs_one_call(tmp_path: Path) -> None:
    class Odd(VoiceActivity):
        def speech(self, samples: Samples, rate_hz: int) -> tuple[Span, ...]:  # noqa: ARG002
            raise ZeroDivisionError("float division by zero")

    config = RunConfig.model_validate({"archive": {"audio_root": str(tmp_path)}})
    result = process_call(record(tmp_path), NEVER, Odd(config.vad), config)
    assert result.outcome.reason is QuarantineReason.FAILED
    assert result.outcome.detail == "ZeroDivisionError: float division by zero"


class TestSwappedChannels:
    """The database names the agent's channel as the customer's."""

    def swapped(self, folder: Path) -> CallRecord:
        write_call(folder / "s.wav", track([1.0], 7.0, 2.0, 220), track([4.0], 7.0))
        return record(folder, audio_uri="s.wav")

    def test_the_other_channel_is_taken(self, tmp_path: Path) -> None:
        recognizer = Says(words_at(GREETING, 1.0), words_at(SENTENCES[0], 4.0))
        result = process(tmp_path, self.swapped(tmp_path), recognizer)
        assert result.outcome.channel == 0
        assert result.outcome.flags == ("channel_swapped",)
        (clip,) = result.clips
        assert (clip.info.text, clip.info.channel) == (SENTENCES[0], 0)
        assert clip.info.flags == ("channel_swapped",)
        assert np.abs(decode_flac(clip.audio)[0]).max() > 0.1

    def test_transcripts_of_both_channels_are_used(self, tmp_path: Path) -> None:
        call = self.swapped(tmp_path)
        own = tuple(Word(*word) for word in words_at(GREETING, 1.0))
        other = tuple(Word(*word) for word in words_at(SENTENCES[0], 4.0))
        both = {1: Transcript(own, "archive", 1), 0: Transcript(other, "archive", 0)}
        call = record(tmp_path, audio_uri="s.wav", transcripts=both)
        assert process(tmp_path, call).outcome.channel == 0

    def test_one_phrase_is_not_enough(self, tmp_path: Path) -> None:
        recognizer = Says(words_at("你把你的工号告诉我我要投诉你", 1.0))
        result = process(tmp_path, self.swapped(tmp_path), recognizer)
        assert (result.outcome.channel, result.outcome.flags) == (1, ())

    def test_two_agents_leave_the_database_right(self, tmp_path: Path) -> None:
        recognizer = Says(words_at(GREETING, 1.0), words_at(GREETING, 4.0))
        result = process(tmp_path, self.swapped(tmp_path), recognizer)
        assert (result.outcome.channel, result.outcome.flags) == (1, ())

    def test_a_silent_customer_is_no_clip_of_the_agent(self, tmp_path: Path) -> None:
        write_call(tmp_path / "s.wav", track([1.0], 7.0))
        recognizer = Says(words_at(GREETING, 1.0))
        outcome = process(tmp_path, record(tmp_path, audio_uri="s.wav"), recognizer).outcome
        assert outcome.reason is QuarantineReason.SILENT
        assert outcome.detail.startswith("channel 1 carries the agent, not the customer; s.wav")
