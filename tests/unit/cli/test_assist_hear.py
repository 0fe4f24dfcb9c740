"""`persona-ray assist hear`: a recording at a terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import ConfigError, NotAudioError, SilentError, UnreadableError
from persona_ray.types import Transcript, Word
from tests.unit.corpus.calls import track, write_call

SILENT = track([], 2.0)


def hear(*words: str) -> BaseException | None:
    return CliRunner().invoke(app, ["assist", "hear", *words]).exception


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("two.wav",), ConfigError, "2 channels: name the customer's, --channel 0"),
        (("two.wav", "--customer-channel", "2"), ConfigError, "--channel 2 is not among them"),
        (("two.wav", "--channel", "0"), SilentError, "two.wav channel 0 never rises above"),
        (("no.wav",), UnreadableError, "no.wav"),
        (("text.wav", "--customer-channel", "0"), NotAudioError, "text.wav is no audio"),
    ],
)
def test_what_cannot_be_heard_is_said_before_anything_is_loaded(
    words: tuple[str, ...],
    error: type[Exception],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("the recogniser is loaded")

    monkeypatch.setattr("persona_ray.asr.whisper.WhisperRecognizer.load", load)
    write_call(tmp_path / "two.wav", track([0.2], 2.0, talk_s=1.0), SILENT)
    (tmp_path / "text.wav").write_text("no sound at all, but some words", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    found = hear(*words)
    assert isinstance(found, error), found
    assert said in str(found)


def test_a_turn_a_line_for_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def transcribe(*_: object) -> Transcript:
        return Transcript((Word("太", 0.5, 0.8), Word("贵了", 0.8, 1.2)), "recorded")

    monkeypatch.setattr("persona_ray.asr.lazy.LazyRecognizer.transcribe", transcribe)
    path = tmp_path / "call.wav"
    write_call(path, track([0.5], 4.0, talk_s=1.5), track([2.4], 4.0, talk_s=1.0, pitch_hz=230))
    done = CliRunner().invoke(
        app, ["assist", "hear", str(path), "--customer-channel", "1", "--json"]
    )
    assert done.exception is None, done.exception
    customer, agent = (json.loads(line) for line in done.stdout.splitlines())
    assert customer["speaker"] == "customer"
    assert customer["text"] == "太贵了"
    assert customer["relation"] == "objection"
    assert customer["tone"]["voiced"] is True
    assert [word["text"] for word in customer["words"]] == ["太", "贵了"]
    assert set(customer) - set(agent) == {"relation", "emotion", "valence"}
