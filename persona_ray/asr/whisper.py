"""Whisper on CTranslate2.

How it is run was measured on read Mandarin over 8 kHz (`benchmarks/asr_human_speech.py`):

- Each utterance is decoded alone. Several in one window make the model stop after the first full
  stop, or loop, and cost more: the encoder's time grows faster than its window.
- The window of the base model ends some seconds after the speech instead of at 30 s: four times
  as fast, and no worse. Without silence at the end it loops.
- The temperature is 0 without fallback: deterministic, and short utterances do not cost RTF 3.
- In Chinese no token with an Arabic digit is allowed: numbers come as they were spoken, one
  character a syllable, so that times, lengths and error rates are right.
- A prompt in simplified Chinese with punctuation gives that script and punctuation; in Mandarin
  no token with a traditional character is allowed, and what is spelled in bytes is converted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.asr.script import has_traditional, simplified
from persona_ray.asr.text import normalise
from persona_ray.asr.utterances import (
    believable,
    has_loop,
    in_order,
    unheard,
    utterances,
    within,
    without_loops,
)
from persona_ray.asr.weights import whisper_base_dir
from persona_ray.audio.resample import resample
from persona_ray.errors import ConfigError, EngineUnavailableError, RecognitionError
from persona_ray.types import Transcript, Word

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.config.corpus import AsrConfig
    from persona_ray.types import Samples

_RATE_HZ = 16_000
_FRAMES_PER_S = 100
_FULL_WINDOW_S = 30.0
_BASE_TAIL_S = 8.0
_UTTERANCE_GAP_S = 0.5
_UTTERANCE_KEEP_S = 0.4
_BASE_UTTERANCE_S = 15.0
# Speech without a word that is worth a second look.
_UNHEARD_S = 0.5
_LONGEST_UTTERANCE_S = 28.0
# Nobody speaks faster than 10 syllables a second; rare characters take up to 3 tokens.
_TOKENS_PER_S, _SPARE_TOKENS = 15, 12
# Whisper's own rule for "this was no speech".
_NO_SPEECH, _MIN_LOGPROB = 0.6, -1.0
_DIGITS = re.compile(r"[0-9０-９%％$€£¥]")
_CLOSING = ".,!?:;、。，！？：；…~”’\"')]}）】》"
_FULL_WIDTH = str.maketrans(",!?:;", "，！？：；")


@dataclass(frozen=True, slots=True)
class _Decoded:
    tokens: list[int]
    text: str
    logprob: float
    no_speech: float


class WhisperRecognizer:
    """Recogniser over a loaded `faster_whisper.WhisperModel`; `load` makes one."""

    def __init__(self, model: Any, config: AsrConfig, name: str, full_window: bool) -> None:
        from faster_whisper.tokenizer import Tokenizer

        self.name = name
        self._model = model
        self._config = config
        self._full_window = full_window
        try:
            self._tokenizer = Tokenizer(
                model.hf_tokenizer,
                model.model.is_multilingual,
                task="transcribe",
                language=config.language,
            )
        except ValueError:
            raise ConfigError(
                f"asr.language '{config.language}' is no language of Whisper: use a code such as zh"
            ) from None
        self._mandarin = config.language == "zh"
        self._chinese = config.language in ("zh", "yue")
        self._prompt = model.get_prompt(
            self._tokenizer,
            previous_tokens=self._tokenizer.encode(config.prompt) if config.prompt else [],
            without_timestamps=True,
        )
        self._suppressed = sorted(self._unwanted_tokens())

    @classmethod
    def load(cls, config: AsrConfig, at_once: int = 1) -> WhisperRecognizer:
        """Load the weights that `config.model` names; `at_once` threads may transcribe beside each
        other with them.

        Raises EngineUnavailableError where the engine or the weights are missing.
        """
        base = config.model == "base"
        source = str(whisper_base_dir()) if base else config.model
        if not base and Path(source).exists() and not Path(source, "model.bin").is_file():
            raise EngineUnavailableError(
                f"asr.model {source} holds no model.bin: a Whisper folder must be in CTranslate2's "
                "format (ct2-transformers-converter makes one)"
            )
        try:
            from faster_whisper import WhisperModel

            model = WhisperModel(
                source,
                device=config.device,
                compute_type=config.compute_type,
                cpu_threads=config.threads,
                num_workers=at_once,
            )
        except Exception as error:  # the hub, the file system and the C++ engine all speak here
            raise EngineUnavailableError(
                f"Whisper '{config.model}' cannot be loaded on {config.device} as "
                f"{config.compute_type}: {' '.join(str(error).split())[:300]}; asr.model takes "
                "'base', a folder in CTranslate2's format, or a name that can be downloaded"
            ) from None
        return cls(model, config, f"whisper-{Path(config.model).name}", full_window=not base)

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        """See Recognizer. A word is a token: in Chinese one character or a few."""
        words: list[Word] = []
        try:
            for span in self._utterances(samples, rate_hz, speech):
                inside = within(speech, span)
                found = believable(self._utterance(samples, rate_hz, span), inside)
                words.extend(found)
                # After a full stop the model may stop, or leave a sentence out: what it left is
                # decoded alone.
                left = unheard(found, inside, _UNHEARD_S)
                if found and left:
                    for again in self._utterances(samples, rate_hz, left):
                        words.extend(believable(self._utterance(samples, rate_hz, again), left))
        except RuntimeError as error:
            raise RecognitionError(f"{self.name} failed: {error}") from error
        return Transcript(in_order(words), self.name)

    def _utterances(
        self, samples: Samples, rate_hz: int, speech: Sequence[Span]
    ) -> tuple[Span, ...]:
        return utterances(
            samples,
            rate_hz,
            speech,
            gap_s=_UTTERANCE_GAP_S,
            max_s=_LONGEST_UTTERANCE_S if self._full_window else _BASE_UTTERANCE_S,
            keep_s=_UTTERANCE_KEEP_S,
        )

    def _utterance(self, samples: Samples, rate_hz: int, span: Span) -> list[Word]:
        """Words of one utterance of a call's samples (n,), in times of the call."""
        start_s, duration_s = span.start_s, span.duration_s
        part = samples[round(start_s * rate_hz) : round(span.end_s * rate_hz)]
        encoded = self._encode(resample(part, rate_hz, _RATE_HZ))
        decoded = self._decode(encoded, duration_s, no_repeat=0)
        if has_loop(decoded.text):
            decoded = self._decode(encoded, duration_s, no_repeat=4)
        if not decoded.tokens or self._is_nothing(decoded):
            return []
        alignment = self._model.find_alignment(
            self._tokenizer, [decoded.tokens], encoded, round(duration_s * _FRAMES_PER_S)
        )[0]
        words: list[Word] = []
        for item in alignment:
            text = str(item["word"])
            if self._mandarin:
                text = simplified(text)
            if not normalise(text):
                # Punctuation has no time of its own: it closes the word before it, or is dropped.
                if words and text.strip() and text.strip() in _CLOSING:
                    last = words[-1]
                    words[-1] = Word(
                        last.text + self._mark(text, last.text), last.start_s, last.end_s
                    )
                continue
            words.append(Word(text, start_s + float(item["start"]), start_s + float(item["end"])))
        return list(without_loops(words))

    def _encode(self, wave: Samples) -> Any:
        """Encoder output for wave (n,) at 16 kHz with the silence that Whisper wants after it."""
        window_s = len(wave) / _RATE_HZ + _BASE_TAIL_S
        if self._full_window or window_s > _FULL_WINDOW_S:
            window_s = _FULL_WINDOW_S
        # The encoder halves the frames: an even number of them.
        frames = 2 * round(window_s * _FRAMES_PER_S / 2)
        hop = _RATE_HZ // _FRAMES_PER_S
        padded = np.zeros(frames * hop, dtype=np.float32)
        padded[: len(wave)] = wave[: len(padded)]
        features = self._model.feature_extractor(padded, padding=0)[:, :frames]
        features = np.pad(features, ((0, 0), (0, frames - features.shape[1])))
        return self._model.encode(np.ascontiguousarray(features[None], dtype=np.float32))

    def _decode(self, encoded: Any, duration_s: float, no_repeat: int) -> _Decoded:
        room = int(duration_s * _TOKENS_PER_S) + _SPARE_TOKENS
        result = self._model.model.generate(
            encoded,
            [self._prompt],
            beam_size=self._config.beam_size,
            max_length=min(len(self._prompt) + room, self._model.max_length),
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            sampling_temperature=0.0,
            no_repeat_ngram_size=no_repeat,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        tokens = [token for token in result.sequences_ids[0] if token < self._tokenizer.eot]
        return _Decoded(
            tokens,
            self._tokenizer.decode(tokens),
            float(result.scores[0]),
            float(result.no_speech_prob),
        )

    def _is_nothing(self, decoded: _Decoded) -> bool:
        text = normalise(decoded.text)
        if not text or (decoded.no_speech > _NO_SPEECH and decoded.logprob < _MIN_LOGPROB):
            return True
        # Over noise the model repeats its prompt.
        return len(text) >= 6 and text in normalise(self._config.prompt)

    def _mark(self, text: str, after: str) -> str:
        mark = text.strip()
        if not self._chinese or after[-1:].isascii():
            return mark
        return "。" if mark == "." else mark.translate(_FULL_WIDTH)

    def _unwanted_tokens(self) -> set[int]:
        from faster_whisper.transcribe import get_suppressed_tokens

        unwanted = set(get_suppressed_tokens(self._tokenizer, [-1]))
        if self._chinese:
            for token in range(self._tokenizer.eot):
                text = self._model.hf_tokenizer.decode([token])
                traditional = self._mandarin and has_traditional(text)
                if traditional or _DIGITS.search(text):
                    unwanted.add(token)
        return unwanted
