"""From what a caller said to a voiceprint, or to the word that it was too little."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.audio.vad import VoiceActivity
from persona_ray.errors import ConfigError, EngineUnavailableError
from persona_ray.inference.screening.records import NotEnoughSpeech

if TYPE_CHECKING:
    from persona_ray.config.corpus import VadConfig
    from persona_ray.config.screening import VoiceConfig
    from persona_ray.types import Samples


class SpeakerEncoder(Protocol):
    """A network that hears whose voice it is. One named in a configuration as `package.module:Name`
    is made as `Name(weights)`, with the text of `screening.voice.weights`."""

    @property
    def name(self) -> str:
        """Of the network and its weights: prints of two names cannot be compared."""
        ...

    @property
    def rate_hz(self) -> int:
        """Of the samples that it hears."""
        ...

    @property
    def size(self) -> int:
        """Numbers in a voiceprint."""
        ...

    def print_of(self, speech: Samples) -> Samples:
        """Samples (n,) at `rate_hz`, one person's speech without silence -> a unit vector (d,)."""
        ...


@dataclass(frozen=True, slots=True)
class Voiceprint:
    """A unit vector (d,), made of `speech_s` seconds of speech."""

    vector: Samples
    speech_s: float


class Voiceprinter:
    """Finds the speech, and has the encoder hear it alone: silence does not count."""

    def __init__(self, encoder: SpeakerEncoder, vad: VoiceActivity, min_speech_s: float) -> None:
        self.encoder = encoder
        self._vad = vad
        self.min_speech_s = min_speech_s

    def hear(self, samples: Samples, rate_hz: int) -> Voiceprint | NotEnoughSpeech:
        """The voiceprint of samples (n,) of one caller."""
        speech = self.speech(samples, rate_hz)
        speech_s = len(speech) / rate_hz
        # Half a frame of the voice activity detection is no difference.
        if speech_s < self.min_speech_s - 0.016 or not np.any(speech):
            return NotEnoughSpeech(speech_s, self.min_speech_s)
        heard = resample(speech, rate_hz, self.encoder.rate_hz)
        return Voiceprint(self.encoder.print_of(heard), speech_s)

    def speech(self, samples: Samples, rate_hz: int) -> Samples:
        """Samples (n,) without the silence in them."""
        spans = self._vad.speech(samples, rate_hz)
        pieces = [
            samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)] for span in spans
        ]
        return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def build_voiceprinter(config: VoiceConfig, vad: VadConfig) -> Voiceprinter:
    """With the engine that a configuration names, loaded. Raises ConfigError for a name that is
    none, EngineUnavailableError where the engine or its weights are missing."""
    return Voiceprinter(build_encoder(config), VoiceActivity(vad), config.min_speech_s)


def build_encoder(config: VoiceConfig) -> SpeakerEncoder:
    """As in `build_voiceprinter`."""
    if config.engine == "ge2e":
        from persona_ray.inference.screening.ge2e import Ge2eEncoder

        return Ge2eEncoder(config.weights)
    module_name, colon, name = config.engine.partition(":")
    if not colon or not re.fullmatch(r"[\w.]+", module_name) or not name.isidentifier():
        raise ConfigError(
            f"screening.voice.engine '{config.engine}' is neither ge2e nor package.module:Name"
        )
    try:
        made = getattr(importlib.import_module(module_name), name)(config.weights)
    except (ImportError, AttributeError, OSError, ValueError, RuntimeError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise EngineUnavailableError(
            f"screening.voice.engine {config.engine} cannot be loaded ({said}): install its "
            "package, or take ge2e"
        ) from None
    missing = [part for part in ("name", "rate_hz", "size", "print_of") if not hasattr(made, part)]
    if missing:
        raise ConfigError(
            f"screening.voice.engine {config.engine} is no SpeakerEncoder: it has no {missing[0]}"
        )
    encoder: SpeakerEncoder = made
    return encoder
