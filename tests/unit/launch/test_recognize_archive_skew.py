"""One call, one answer: archive job, recognition of a call, evaluation, with a corpus or without.

What is judged in the same batches (the sentences of one call) by the same number of threads is
equal to the last bit. Other batches (evaluation takes clips by hundreds) change the order in which
floats are summed, and thereby last digits: TOLERANCE bounds probabilities, with room for large
models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
import torch

from persona_ray.audio.vad import Span
from persona_ray.config import RunConfig
from persona_ray.config.corpus import AsrConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.errors import CallError
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.launch import evaluate
from persona_ray.launch.predict import predict_clips
from persona_ray.models.bundle import load_bundle
from persona_ray.progress import SilentProgress
from persona_ray.types import CallRecord, Modality, Recognition, Transcript, Word
from tests.unit.corpus.business import words_json
from tests.unit.corpus.calls import SENTENCES, words_at
from tests.unit.corpus.folders import digests
from tests.unit.launch.recognised import (
    CALLS,
    call_id,
    configured,
    make_bundle,
    make_calls,
    recognise,
    rows,
    shares,
)

TOLERANCE = 1e-5


class Engine:
    """A recogniser that says a sentence wherever speech is, and counts how often it is asked."""

    name = "engine"

    def __init__(self, sentence: str = SENTENCES[2]) -> None:
        self.sentence = sentence
        self.asked = 0

    def transcribe(self, _: object, __: int, speech: Sequence[Span]) -> Transcript:
        self.asked += 1
        words = [word for span in speech for word in words_at(self.sentence, span.start_s, 1.8)]
        return Transcript(tuple(Word(*word) for word in words), self.name)


def loading(engine: Engine) -> Any:
    def load(bundle: Path, config: RunConfig) -> PersonalityRecognizer:
        model, contract = load_bundle(bundle)
        return PersonalityRecognizer(model, config, engine, temperature=contract.temperature)

    return load


def with_corpus(config: RunConfig, engine: Engine) -> RunConfig:
    def build(_: AsrConfig) -> Engine:
        return engine

    build_corpus(config, build=build)
    return config


@pytest.mark.parametrize("modality", list(Modality))
def test_the_job_gives_what_recognition_of_each_call_gives(
    tmp_path: Path, modality: Modality
) -> None:
    url = make_calls(tmp_path, transcripts=False)
    make_bundle(tmp_path / "run" / "bundle", modality)
    config = configured(tmp_path, url)
    found = recognise(config, load=loading(Engine()))
    recognizer = loading(Engine())(config.bundle_dir, config)
    calls = {row["call_id"]: row for row in rows(found, "calls")}
    sentences = {
        name: list(group)
        for name, group in groupby(rows(found, "sentences"), key=lambda row: row["call_id"])
    }
    archive = CallArchive(config.archive)
    threads = torch.get_num_threads()
    torch.set_num_threads(config.recognition.threads)
    try:
        for name, row in calls.items():
            record = archive.get(name)
            if not isinstance(record, CallRecord):
                assert row["detail"] == record.detail
                continue
            if row["status"] == "quarantined":
                with pytest.raises(CallError, match=re.escape(row["detail"])):
                    recognizer.call(record)
                continue
            answer = recognizer.call(record)
            if isinstance(answer.result, Recognition):
                assert shares(row) == dict(answer.result.probabilities)
                assert row["primary"] == answer.result.primary
            else:
                assert (row["primary"], row["detail"]) == (None, answer.result.reason)
            assert row["flags"] == list(answer.flags)
            mine = sentences.get(name, [])
            assert [row["start_s"] for row in mine] == [
                round(sentence.start_s, 3) for sentence in answer.sentences
            ]
            for part, sentence in zip(mine, answer.sentences, strict=True):
                assert isinstance(sentence.result, Recognition)
                assert shares(part) == dict(sentence.result.probabilities)
    finally:
        torch.set_num_threads(threads)
    assert len(sentences) >= 7


@pytest.mark.parametrize("transcripts", [True, False])
def test_sentences_of_the_corpus_give_the_same_bytes(tmp_path: Path, transcripts: bool) -> None:
    url = make_calls(tmp_path, transcripts=transcripts)
    anew = configured(
        tmp_path, url, name="anew", recognition={"reuse_corpus": False, "texts": True}
    )
    slow = recognise(anew, load=loading(Engine()))
    engine = Engine()
    config = with_corpus(configured(tmp_path, url, recognition={"texts": True}), engine)
    heard = engine.asked
    assert bool(heard) != transcripts
    fast = recognise(config, load=loading(engine))
    assert digests(fast.folder) == digests(slow.folder)
    # Calls that the corpus set aside are tried again: those fail before anybody listens.
    assert engine.asked == heard
    assert (slow.run.known_calls, fast.run.known_calls) == (0, CALLS - 4)


def test_calls_that_changed_since_the_corpus_was_built_are_heard_anew(tmp_path: Path) -> None:
    url = make_calls(tmp_path, transcripts=False)
    config = with_corpus(configured(tmp_path, url), Engine())
    engine = sqlalchemy.create_engine(url)
    said = words_at(SENTENCES[1], 0.5)
    with engine.begin() as connection:
        for statement, values in (
            ("UPDATE calls SET audio_uri = 'audio/2.wav' WHERE call_id = :id", {"id": call_id(0)}),
            ("UPDATE calls SET customer_channel = '0' WHERE call_id = :id", {"id": call_id(1)}),
            (
                "INSERT INTO transcripts VALUES (:id, 1, :words)",
                {"id": call_id(2), "words": words_json(said)},
            ),
            ("UPDATE calls SET customer_id = 'brief' WHERE call_id = :id", {"id": call_id(3)}),
        ):
            connection.execute(sqlalchemy.text(statement), values)
    engine.dispose()
    asr = Engine()
    fast = recognise(config, load=loading(asr))
    # Of the first the file is another one; the second's channel is silent now; the third has a
    # transcript; the fourth is another customer's, which changes nothing that is heard.
    assert asr.asked == 1
    assert fast.run.known_calls == CALLS - 4 - 3
    anew = configured(tmp_path, url, name="anew", recognition={"reuse_corpus": False})
    slow = recognise(anew, load=loading(Engine()))
    assert digests(fast.folder) == digests(slow.folder)
    calls = {row["call_id"]: row for row in rows(fast, "calls")}
    assert calls[call_id(1)]["reason"] == "silent"
    assert calls[call_id(3)]["customer_id"] == "brief"


def test_a_corpus_of_other_settings_is_not_used_and_that_is_told(tmp_path: Path) -> None:
    url = make_calls(tmp_path)
    config = with_corpus(configured(tmp_path, url), Engine())
    other = configured(tmp_path, url, cut={"min_chars": 12})
    found = recognise(other, load=loading(Engine()))
    assert found.run.known_calls == 0
    assert "cut.min_chars 10 -> 12" in found.run.note
    assert recognise(config, load=loading(Engine()), fresh=True).run.note == ""


def test_a_model_that_hears_alone_cuts_by_speech_and_takes_no_clips(tmp_path: Path) -> None:
    """Without words its sentences are others than the corpus's."""
    url = make_calls(tmp_path, transcripts=False)
    make_bundle(tmp_path / "run" / "bundle", Modality.SPEECH)
    config = with_corpus(configured(tmp_path, url), Engine())
    engine = Engine()
    found = recognise(config, load=loading(engine))
    assert (found.run.known_calls, engine.asked) == (0, 0)
    make_bundle(tmp_path / "anew" / "bundle", Modality.SPEECH)
    anew = configured(tmp_path, url, name="anew")
    assert digests(recognise(anew, load=loading(Engine())).folder) == digests(found.folder)


def test_the_jobs_colours_are_those_of_evaluation(tmp_path: Path) -> None:
    config = with_corpus(configured(tmp_path, make_calls(tmp_path)), Engine())
    found = recognise(config)
    job = {(row["call_id"], row["start_s"]): shares(row) for row in rows(found, "sentences")}
    dataset = CorpusDataset.open(config.corpus_dir)
    clips = list(dataset.clips())
    # All clips in one batch, as champion and challenger are compared.
    predicted = predict_clips(config, dataset, SilentProgress())
    assert len(predicted) == len(job)
    for clip in clips:
        answer = dict(predicted[clip.clip_id].probabilities)
        assert job[clip.call_id, clip.start_s] == pytest.approx(answer, abs=TOLERANCE)
    # Call by call, as the report's scores are made.
    recognizer = PersonalityRecognizer.load(config.bundle_dir, config)
    whole = {row["call_id"]: shares(row) for row in rows(found, "calls") if row["primary"]}
    for name, group in groupby(clips, key=lambda clip: clip.call_id):
        call, _ = evaluate._call(recognizer, list(group), {})
        assert call.probabilities == pytest.approx(whole[name], abs=TOLERANCE)
