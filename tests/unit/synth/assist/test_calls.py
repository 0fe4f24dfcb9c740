"""The stereo calls of the demo, what was made of them, and calls that others wrote."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.assist_data import conversation
from persona_ray.config.assist import AssistConfig
from persona_ray.conversation import Emotion
from persona_ray.errors import ConfigError
from persona_ray.inference.assist.library import load_library
from persona_ray.progress import SilentProgress
from persona_ray.synth.assist.calls import CALLS, TURNS, read_calls, speak_folder
from persona_ray.synth.assist.speaking import speak
from persona_ray.synth.assist.tones import planted
from persona_ray.synth.assist.world import World
from persona_ray.tts.base import Voice
from persona_ray.tts.tone import ToneSynthesizer

SHIPPED = Path(__file__).parents[4] / "demo" / "assist"
WORLD = World(load_library("", AssistConfig().steps).scripts)


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / TURNS).read_text(encoding="utf-8").splitlines()]


def test_the_shipped_calls_are_what_was_made_of_their_script() -> None:
    rows = rows_of(SHIPPED)
    written = [(call.id, turn) for call in read_calls(SHIPPED).calls for turn in call.turns]
    assert [(row["call"], row["speaker"]) for row in rows] == [
        (call, turn.speaker) for call, turn in written
    ]
    for row, (_, turn) in zip(rows, written, strict=True):
        script = WORLD.scripts[turn.script].text if turn.script else ""
        assert row["text"] == script or turn.agent or turn.customer
        assert bool(row.get("fits")) == bool(turn.customer)


def test_the_shipped_calls_are_as_long_as_their_turns() -> None:
    sizes = 0
    for call in read_calls(SHIPPED).calls:
        file = SHIPPED / f"{call.id}.ogg"
        info = soundfile.info(file)
        sizes += file.stat().st_size
        ends = [float(str(row["end_s"])) for row in rows_of(SHIPPED) if row["call"] == call.id]
        assert (info.channels, info.samplerate) == (2, 8000)
        assert 45 <= info.duration <= 80
        assert 0.9 < info.duration - max(ends) < 2.1
    assert sizes < 900_000


def test_a_call_is_spoken_on_two_channels(tmp_path: Path) -> None:
    (tmp_path / CALLS).write_text(
        """
voices: {a: {sex: female, timbre: {}}, c: {sex: male, timbre: {}}}
calls:
  - id: one
    about: a test
    product: loan
    colour: red
    customer: c
    agent: a
    turns:
      - {agent: 您好。}
      - {customer: 利率多少？, step: offer, topic: price, relation: question, emotion: angry}
      - {script: loan-price-brief, gap_s: 1.0}
""",
        encoding="utf-8",
    )
    assert speak_folder(tmp_path, WORLD, ToneSynthesizer(), SilentProgress()) == 3
    samples, rate_hz = soundfile.read(tmp_path / "one.ogg")
    rows = rows_of(tmp_path)
    for row in rows:
        times = (float(str(row["start_s"])), float(str(row["end_s"])))
        stretch = samples[slice(*(round(at * rate_hz) for at in times))]
        agent, customer = np.sqrt(np.mean(stretch**2, axis=0))
        assert (agent > 10 * customer) == (row["speaker"] == "agent")
    assert rows[1]["fits"] == ["loan-price-soothing", "loan-price-brief"]
    assert rows[2]["text"] == WORLD.scripts["loan-price-brief"].text


def test_a_call_with_a_script_that_nobody_has(tmp_path: Path) -> None:
    text = (SHIPPED / CALLS).read_text(encoding="utf-8")
    (tmp_path / CALLS).write_text(text.replace("any-identity-brief", "any-nothing"))
    with pytest.raises(ConfigError, match="call 'busy': the library has no script 'any-nothing'"):
        speak_folder(tmp_path, WORLD, ToneSynthesizer(), SilentProgress())


def test_a_mood_is_spoken_louder_and_faster() -> None:
    voice = Voice("v", "female")
    calm, angry = (
        speak(ToneSynthesizer(), "我现在很忙，别说了。", voice, planted(emotion), 8000)
        for emotion in (Emotion.NEUTRAL, Emotion.ANGRY)
    )
    louder = 20 * np.log10(np.sqrt(np.mean(angry**2)) / np.sqrt(np.mean(calm**2)))
    assert louder == pytest.approx(7.0, abs=1.0)
    assert np.log2(calm.size / angry.size) == pytest.approx(0.25, abs=0.08)


def test_a_dialogue_that_others_wrote() -> None:
    row = {"id": "x", "fraud": False, "caller": ["您好", "好的"], "callee": ["查一下余额", "……"]}
    found = conversation(row)
    assert [(turn.speaker, turn.text) for turn in found.turns] == [
        ("agent", "您好"), ("customer", "查一下余额"), ("agent", "好的"),
    ]  # fmt: skip
    assert all(turn.emotion is None and not turn.script for turn in found.turns)
