"""From a synthetic archive with every kind of dirt to figures: the real rooms in a row.

The archive's sound is tones, so the words come from the truth: a recogniser that is never wrong.
What is left to go wrong is channels, cutting, quarantine and the figures themselves.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from persona_ray.asr.text import normalise
from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig, load_config
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.compaction import compact
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import Manifest, corpus_settings, settings_hash
from persona_ray.corpus.process import process_call
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.tables import result_table
from persona_ray.errors import ArchiveError
from persona_ray.evaluation.quality import Quality, measure_quality
from persona_ray.progress import SilentProgress
from persona_ray.synth.build import build_archive
from persona_ray.synth.truth import TruthUtterance, read_calls, read_utterances
from persona_ray.types import CallRecord, Transcript, Word
from tests.unit.synth.archives import tiny

if TYPE_CHECKING:
    from persona_ray.types import Samples


class KnowingRecogniser:
    """Says what the truth says of one channel of one call, without punctuation, as Whisper does."""

    name = "truth"

    def __init__(self, utterances: Sequence[TruthUtterance]) -> None:
        self.utterances = utterances

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        del samples, rate_hz, speech
        words = []
        for said in self.utterances:
            text = normalise(said.text)
            length_s = (said.end_s - said.start_s) / len(text)
            words += [
                Word(character, said.start_s + i * length_s, said.start_s + (i + 1) * length_s)
                for i, character in enumerate(text)
            ]
        return Transcript(tuple(words), self.name)


class LoudIsSpeech:
    """Spans above -38 dBFS, in steps of 10 ms, joined over gaps of 250 ms."""

    def speech(self, samples: Samples, rate_hz: int) -> tuple[Span, ...]:
        step = rate_hz // 100
        frames = samples[: len(samples) // step * step].reshape(-1, step)
        loud = np.flatnonzero(np.sqrt(np.mean(frames**2, axis=1)) > 10 ** (-38 / 20))
        if not len(loud):
            return ()
        breaks = np.flatnonzero(np.diff(loud) > 25)
        firsts = [loud[0], *loud[breaks + 1]]
        lasts = [*loud[breaks], loud[-1]]
        return tuple(
            Span(float(a) / 100, float(b + 1) / 100) for a, b in zip(firsts, lasts, strict=True)
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    cache = tmp_path_factory.mktemp("speech")
    build_archive(tiny(cache), folder)
    return folder


def config_for(archive: Path, mono: str = "quarantine") -> RunConfig:
    url = f"archive.url=sqlite:///{archive / 'business.sqlite'}"
    config = load_config(None, [url, f"archive.audio_root={archive}", f"archive.mono={mono}"])
    # Few agents of so small an archive say the configured phrases: all that they say will do.
    phrases = {normalise(row.text) for row in read_utterances(archive) if row.speaker == "agent"}
    named = config.archive.model_copy(update={"agent_phrases": tuple(sorted(phrases))})
    return config.model_copy(update={"archive": named})


def build(archive: Path, folder: Path, config: RunConfig) -> CorpusDataset:
    """The corpus of `archive` with a recogniser that knows the truth."""
    heard = read_utterances(archive)
    (folder / "staging").mkdir(parents=True)
    staging = Staging(folder / "staging")
    calls = CallArchive(config.archive)
    for page in calls.pages():
        for call in calls.read(page):
            assert isinstance(call, CallRecord)
            own = [row for row in heard if row.call_id == call.call_id]
            channel = call.customer_channel
            on_channel = [row for row in own if row.channel == channel]
            other = [row for row in own if row.channel == 1 - channel]
            recogniser = TwoSides(KnowingRecogniser(on_channel), KnowingRecogniser(other))
            staging.commit(result_table(process_call(call, recogniser, LoudIsSpeech(), config)))
    settings = corpus_settings(config)
    manifest = Manifest(settings=settings, settings_hash=settings_hash(settings))
    with SilentProgress().stage("shards", None) as stage:
        compact(folder, staging, manifest, 100, stage)
    return CorpusDataset.open(folder)


class TwoSides:
    """The named channel first, and the other when the call is heard again."""

    name = "truth"

    def __init__(self, first: KnowingRecogniser, second: KnowingRecogniser) -> None:
        self._sides = [first, second]

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        return self._sides.pop(0).transcribe(samples, rate_hz, speech)


@pytest.fixture(scope="module")
def quality(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Quality:
    config = config_for(archive)
    dataset = build(archive, tmp_path_factory.mktemp("corpus"), config)
    return measure_quality(archive, dataset, config.cut.min_chars, config.cut.pad_s)


def test_what_is_known_is_recognised(quality: Quality) -> None:
    assert quality.calls_absent == 0
    assert quality.utterances > 30
    assert quality.utterance_recall == 1
    assert quality.character_error_rate is not None
    assert quality.character_error_rate < 0.005
    assert quality.placed_share is not None
    assert quality.placed_share > 0.97
    assert (quality.clips_of_wrong_speaker, quality.clips_of_nobody) == (0, 0)


def test_borders_are_found_within_the_padding(quality: Quality) -> None:
    assert quality.cut is not None
    assert quality.cut.median_ms < 150
    assert quality.cut.into_speech < 0.02


def test_every_planted_fault_is_set_aside_with_its_reason(quality: Quality) -> None:
    whole = quality.quarantine
    assert whole.planted > 5
    assert (whole.precision, whole.recall) == (1, 1)
    for row in quality.quarantine_reasons:
        assert (row.name, row.precision, row.recall) == (row.name, 1, 1)
    for row in quality.flags:
        assert (row.name, row.planted, row.found, row.right) == (row.name, 1, 1, 1)


def test_fillers_that_stand_alone_are_dropped(quality: Quality, archive: Path) -> None:
    usable = {call.call_id for call in read_calls(archive) if call.expected == "ok"}
    short = [
        row
        for row in read_utterances(archive)
        if row.speaker == "customer" and row.call_id in usable and len(row.text) < 9
    ]
    assert quality.fillers >= len(short) > 0
    assert quality.fillers_kept <= quality.fillers // 2


def test_two_voices_in_one_channel_are_seen_as_channel_errors(
    archive: Path, tmp_path: Path
) -> None:
    config = config_for(archive, mono="customer")
    dataset = build(archive, tmp_path / "corpus", config)
    lenient = measure_quality(archive / "truth", dataset, config.cut.min_chars, config.cut.pad_s)
    # The call is no usable one by its truth: it costs recall of the quarantine, not recognition.
    mono = next(row for row in lenient.quarantine_reasons if row.name == "mono")
    assert mono.recall == 0


def test_transcripts_of_another_call_show(archive: Path, tmp_path: Path) -> None:
    """The archive's own transcripts, those of two calls exchanged: the figures must tell."""
    copied = tmp_path / "archive"
    copied.mkdir()
    for name in ("business.sqlite", "truth", "audio"):
        source = archive / name
        if source.is_file():
            (copied / name).write_bytes(source.read_bytes())
        elif source.is_dir():
            (copied / name).symlink_to(source)
    clean = [call for call in read_calls(archive) if not call.dirt][:2]
    heard = read_utterances(archive)
    connection = sqlite3.connect(copied / "business.sqlite")
    for call, other in zip(clean, reversed(clean), strict=True):
        rows = [r for r in heard if r.call_id == other.call_id and r.speaker == "customer"]
        words = KnowingRecogniser(rows).transcribe(np.zeros(1, np.float32), 8000, ()).words
        connection.execute(
            "INSERT INTO transcripts VALUES (?, ?, ?)",
            (
                call.call_id,
                1,
                json.dumps(
                    [{"text": w.text, "start_s": w.start_s, "end_s": w.end_s} for w in words]
                ),
            ),
        )
    connection.commit()
    connection.close()
    config = config_for(copied)
    config = config.model_copy(
        update={"archive": config.archive.model_copy(update={"audio_root": str(archive)})}
    )
    dataset = build(copied, tmp_path / "corpus", config)
    wrong = measure_quality(copied, dataset, config.cut.min_chars, config.cut.pad_s)
    assert wrong.character_error_rate is not None
    assert wrong.character_error_rate > 0.02


def test_without_truth_the_error_names_the_file(archive: Path, tmp_path: Path) -> None:
    dataset = build(archive, tmp_path / "corpus", config_for(archive))
    with pytest.raises(ArchiveError, match=r"calls\.jsonl is missing"):
        measure_quality(tmp_path, dataset, 10, 0.1)
