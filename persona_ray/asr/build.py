"""The recogniser that a configuration names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.config.corpus import AsrConfig


def build_recognizer(config: AsrConfig, at_once: int = 1) -> Recognizer:
    """Load the engine and its weights. Whisper hears `at_once` utterances at the same time, each in
    `config.threads`; what comes beyond waits.

    Raises EngineUnavailableError where they are missing and ConfigError where settings clash.
    """
    if config.engine == "funasr":
        from persona_ray.asr.funasr import FunasrRecognizer

        return FunasrRecognizer.load(config)
    if config.language not in ("zh", "yue", "ja") and re.search(r"[\u4e00-\u9fff]", config.prompt):
        raise ConfigError(
            f"asr.prompt is Chinese and asr.language is '{config.language}': a prompt steers the "
            "recogniser into its own language; set asr.prompt to '' or to text in that language"
        )
    from persona_ray.asr.whisper import WhisperRecognizer

    return WhisperRecognizer.load(config, at_once)
