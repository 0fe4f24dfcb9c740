"""Recognisers of the FunASR family (paraformer-zh and others with time stamps): an optional extra.

The result of `AutoModel.generate` that is read here: a list with one dict per input, `text` with
the tokens (a Chinese character or a Latin word each, set apart by spaces), `timestamp` with
[start, end] in milliseconds for each token. Punctuation, where a model adds it, has no time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.asr.utterances import believable, in_order, utterances, within
from persona_ray.audio.resample import resample
from persona_ray.errors import ConfigError, EngineUnavailableError, RecognitionError
from persona_ray.types import Transcript, Word

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.config.corpus import AsrConfig
    from persona_ray.types import Samples

_RATE_HZ = 16_000
_UTTERANCE_GAP_S, _UTTERANCE_KEEP_S, _UTTERANCE_S = 0.5, 0.3, 30.0
# A Han character, or a run of Latin letters and digits with the marks that stand inside words.
_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+(?:['’.-][^\W_\u3400-\u9fff]+)*")
_WORD = re.compile(r"\w")
_HAN = re.compile(r"[\u3400-\u9fff]")


class Engine(Protocol):
    """The part of `funasr.AutoModel` that is used."""

    def generate(self, *, input: Samples, disable_pbar: bool) -> Any: ...  # noqa: A002


class FunasrRecognizer:
    """Recogniser over a loaded FunASR model; `load` makes one."""

    def __init__(self, engine: Engine, model: str) -> None:
        self.name = f"funasr-{model}"
        self._engine = engine

    @classmethod
    def load(cls, config: AsrConfig) -> FunasrRecognizer:
        """Load the model that `config.model` names.

        Raises EngineUnavailableError where FunASR or the model is missing, ConfigError where the
        name is Whisper's.
        """
        if config.model == "base":
            raise ConfigError(
                "asr.model 'base' is a Whisper model: with asr.engine = funasr name a model of "
                "FunASR that gives times, such as paraformer-zh"
            )
        try:
            from funasr import AutoModel
        except ImportError as error:
            raise EngineUnavailableError(
                f"asr.engine funasr is an optional extra ({error}): pip install persona-ray[funasr]"
            ) from None
        try:
            engine = AutoModel(
                model=config.model,
                device=_device(config.device),
                ncpu=config.threads,
                disable_update=True,
                disable_pbar=True,
            )
        except Exception as error:  # hub, file system and model code all speak here
            raise EngineUnavailableError(
                f"FunASR model '{config.model}' cannot be loaded: "
                f"{' '.join(str(error).split())[:300]}; asr.model takes a folder or a name that "
                "FunASR can download"
            ) from None
        return cls(engine, config.model)

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        """See Recognizer. A word is a Chinese character or a Latin word."""
        words: list[Word] = []
        for span in utterances(
            samples,
            rate_hz,
            speech,
            gap_s=_UTTERANCE_GAP_S,
            max_s=_UTTERANCE_S,
            keep_s=_UTTERANCE_KEEP_S,
        ):
            part = samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)]
            try:
                result = self._engine.generate(
                    input=resample(part, rate_hz, _RATE_HZ), disable_pbar=True
                )
            except Exception as error:  # models of many makes run here
                raise RecognitionError(
                    f"{self.name} failed at {span.start_s:.1f} s: {' '.join(str(error).split())}"
                ) from error
            found = [
                Word(word.text, span.start_s + word.start_s, span.start_s + word.end_s)
                for word in timed_words(result, self.name)
            ]
            words.extend(believable(found, within(speech, span)))
        return Transcript(in_order(words), self.name)


def timed_words(result: object, name: str) -> list[Word]:
    """Words with times from the start of the input, out of what `generate` returned.

    Raises RecognitionError where the structure is another or tokens and times do not pair up.
    """
    first = result[0] if isinstance(result, Sequence) and result else None
    text = first.get("text") if isinstance(first, Mapping) else None
    if not isinstance(first, Mapping) or not isinstance(text, str):
        raise RecognitionError(
            f"{name} returned no text in its {type(result).__name__}: choose a model that "
            "recognises speech, such as paraformer-zh"
        )
    if not _WORD.search(text):
        return []
    times = first.get("timestamp")
    if not times:
        raise RecognitionError(
            f"{name} gives no times of words: choose a model that does, such as paraformer-zh"
        )
    tokens = [token for token in text.split() if _WORD.search(token)]
    if len(tokens) != len(times):
        tokens = _TOKEN.findall(text)
    if len(tokens) != len(times):
        # What was said is nobody's business who reads of the failure.
        raise RecognitionError(f"{name} returned {len(times)} times for {len(tokens)} words")
    return [
        Word(word, float(start_ms) / 1000, float(end_ms) / 1000)
        for word, (start_ms, end_ms) in zip(_spaced(tokens), times, strict=True)
    ]


def _spaced(tokens: Sequence[str]) -> list[str]:
    """Tokens with a space before each Latin word that follows another: words are put together as
    they are, and Chinese has no spaces."""
    before = ["", *tokens]
    return [
        f" {token}" if one and not _HAN.search(one + token) else token
        for one, token in zip(before, tokens, strict=False)
    ]


def _device(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
