"""A recogniser for builds in which every call may have a transcript already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING

from persona_ray.asr.build import build_recognizer
from persona_ray.config.corpus import AsrConfig
from persona_ray.errors import EngineUnavailableError, PersonaRayError

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.audio.vad import Span
    from persona_ray.types import Samples, Transcript

BuildRecognizer = Callable[[AsrConfig], "Recognizer"]


class LazyRecognizer:
    """Loads its recogniser when it is first asked to hear something."""

    def __init__(self, config: AsrConfig, build: BuildRecognizer = build_recognizer) -> None:
        self._config = config
        self._build = build
        self._loaded: Recognizer | None = None
        # Asked from several threads at once, it is still loaded once.
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._recognizer().name

    def transcribe(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Transcript:
        """As Recognizer; also raises EngineUnavailableError and ConfigError at the first call."""
        return self._recognizer().transcribe(samples, rate_hz, speech)

    def _recognizer(self) -> Recognizer:
        with self._lock:
            if self._loaded is None:
                self._loaded = self._made()
            return self._loaded

    def _made(self) -> Recognizer:
        try:
            return self._build(self._config)
        except PersonaRayError:
            raise
        except Exception as error:
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise EngineUnavailableError(
                f"recogniser {self._config.engine} '{self._config.model}' cannot be loaded "
                f"({said}): check asr.model, asr.device and asr.compute_type"
            ) from error
