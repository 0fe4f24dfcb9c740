"""The tower behind a name or folder, whatever its family."""

from __future__ import annotations

from pathlib import Path

from persona_ray.models.grams import GRAMS, GramEncoder
from persona_ray.models.pretrained import reading_encoder
from persona_ray.models.speech import SpeechEncoder
from persona_ray.models.text import TextEncoder, TextTower
from persona_ray.models.tower import SpeechTower
from persona_ray.models.whisper import WHISPER_BASE, WhisperTower


def load_speech_tower(path: str) -> SpeechTower:
    """`whisper-base` is the recogniser's own encoder; anything else a Hugging Face folder or name,
    of a Whisper or of the wav2vec 2.0 family. Raises EncoderError."""
    from transformers import AutoConfig

    if path == WHISPER_BASE:
        return WhisperTower.whisper_base()
    with reading_encoder("speech", path):
        model_type = AutoConfig.from_pretrained(path).model_type
    return WhisperTower.load(path) if model_type == "whisper" else SpeechEncoder.load(path)


def load_text_tower(path: str, max_tokens: int) -> TextTower:
    """Of n-grams, where the folder holds them; anything else a Hugging Face folder or name. Raises
    EncoderError."""
    if path and (Path(path) / GRAMS).is_file():
        return GramEncoder.load(Path(path), max_tokens)
    return TextEncoder.load(path, max_tokens)
