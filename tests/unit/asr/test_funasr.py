"""FunASR's results become words: in the structure its documentation shows.

The engine stands in at the declared seam (`Engine`); loading a real one needs the extra.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.funasr import FunasrRecognizer, timed_words
from persona_ray.audio.vad import Span
from persona_ray.config.corpus import AsrConfig
from persona_ray.errors import ConfigError, EngineUnavailableError, RecognitionError
from persona_ray.types import Transcript, Word


class Scripted:
    """Answers each utterance in turn, and remembers what it was given."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.inputs: list[NDArray[np.float32]] = []

    def generate(self, *, input: Any, disable_pbar: bool) -> Any:  # noqa: A002, ARG002
        self.inputs.append(input)
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


def result(text: str, *times_ms: tuple[int, int]) -> list[dict[str, Any]]:
    return [
        {"key": "rand_key_2yW4Acq9GFz6Y", "text": text, "timestamp": [list(t) for t in times_ms]}
    ]


def test_tokens_set_apart_by_spaces_pair_with_times() -> None:
    words = timed_words(
        result("欢 迎 vip 客 户", (50, 290), (290, 530), (530, 900), (900, 1100), (1100, 1305)), "m"
    )
    assert words == [
        Word("欢", 0.05, 0.29),
        Word("迎", 0.29, 0.53),
        Word("vip", 0.53, 0.9),
        Word("客", 0.9, 1.1),
        Word("户", 1.1, 1.305),
    ]


def test_running_text_with_punctuation_pairs_with_times() -> None:
    times = [(100 * i, 100 * i + 90) for i in range(8)]
    words = timed_words(result("你好，我用 iPhone15，don't 急。", *times[:7]), "m")
    assert [word.text for word in words] == ["你", "好", "我", "用", "iPhone15", " don't", "急"]
    assert words[-1].end_s == 0.69


@pytest.mark.parametrize("text", ["我 的 apple pay 不 行", "我的 apple pay 不行。"])
def test_latin_words_stay_apart_in_the_text(text: str) -> None:
    times = [(100 * i, 100 * i + 90) for i in range(6)]
    words = timed_words(result(text, *times), "m")
    assert Transcript(tuple(words), "m").text == "我的apple pay不行"


@pytest.mark.parametrize("empty", [result(""), result(" "), [{"key": "k", "text": "。"}]])
def test_silence_gives_no_words(empty: Any) -> None:
    assert timed_words(empty, "m") == []


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([], "returned no text"),
        (None, "returned no text"),
        ([{"key": "k"}], "returned no text"),
        (result("你 好", (0, 100)), "1 times for 2 words"),
        ([{"key": "k", "text": "<|zh|><|NEUTRAL|>你好"}], "no times of words.*paraformer-zh"),
    ],
)
def test_another_structure_is_an_error_that_names_the_model(bad: Any, says: str) -> None:
    with pytest.raises(RecognitionError, match=f"funasr-x.*{says}") as failed:
        timed_words(bad, "funasr-x")
    # What a customer said stands in no error.
    assert "你" not in str(failed.value)


def test_each_utterance_is_given_at_16_khz_and_its_times_are_moved_to_the_call() -> None:
    engine = Scripted(
        result("你 好", (350, 600), (600, 900)), result("再 见", (310, 500), (500, 800))
    )
    recogniser = FunasrRecognizer(engine, "paraformer-zh")
    rate_hz = 8000
    samples = np.random.default_rng(0).standard_normal(20 * rate_hz).astype(np.float32)
    speech = [Span(2.0, 3.0), Span(10.0, 11.0)]
    transcript = recogniser.transcribe(samples, rate_hz, speech)
    assert [len(given) for given in engine.inputs] == [round(1.6 * 16_000)] * 2
    assert transcript.source == "funasr-paraformer-zh"
    assert transcript.words == (
        Word("你", 2.05, 2.3),
        Word("好", 2.3, 2.6),
        Word("再", 10.01, 10.2),
        Word("见", 10.2, 10.5),
    )


def test_a_failing_engine_is_a_recognition_error() -> None:
    recogniser = FunasrRecognizer(Scripted(ValueError("bad\nshape")), "x")
    with pytest.raises(RecognitionError, match=r"funasr-x failed at 0\.7 s: bad shape"):
        recogniser.transcribe(np.ones(40_000, np.float32), 8000, [Span(1.0, 2.0)])


def test_the_extra_is_named_where_it_is_missing() -> None:
    if importlib.util.find_spec("funasr") is not None:
        pytest.skip("FunASR is installed")
    with pytest.raises(EngineUnavailableError, match=r"pip install persona-ray\[funasr\]"):
        build_recognizer(AsrConfig(engine="funasr", model="paraformer-zh"))


def test_whispers_default_is_no_model_of_funasr() -> None:
    with pytest.raises(ConfigError, match=r"asr\.model 'base' is a Whisper model.*paraformer-zh"):
        build_recognizer(AsrConfig(engine="funasr"))
