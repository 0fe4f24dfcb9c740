"""Where somebody speaks: silero's voice activity detection on onnxruntime.

The package `silero_vad` is used for its weights alone: importing it sets the number of threads of
torch to one for the whole process.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.errors import EngineUnavailableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.config.corpus import VadConfig
    from persona_ray.types import Samples

_WIDE_HZ, _NARROW_HZ = 16_000, 8_000
# What the network is fed at a time, and how much of the past stands before it (silero v6).
_FRAME = {_NARROW_HZ: 256, _WIDE_HZ: 512}
_CONTEXT = {_NARROW_HZ: 32, _WIDE_HZ: 64}
_STATE_SHAPE = (2, 1, 128)
# Speech ends below the threshold minus this (silero's hysteresis).
_HYSTERESIS = 0.15


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of speech, in seconds from the start of the call."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class VoiceActivity:
    """Finds speech. The network is loaded at the first call and never pickled."""

    def __init__(self, config: VadConfig) -> None:
        self.config = config
        self._session: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "_session": None}

    def speech(self, samples: Samples, rate_hz: int) -> tuple[Span, ...]:
        """Spans of speech in samples (n,), in order and apart from each other.

        Runs at 8 kHz for telephone rates and at 16 kHz from there up; other rates are converted.
        The result depends on these samples alone: the network's memory starts empty.
        """
        if len(samples) == 0:
            return ()
        native_hz = _NARROW_HZ if rate_hz < _WIDE_HZ else _WIDE_HZ
        samples = resample(samples, rate_hz, native_hz)
        frame_s = _FRAME[native_hz] / native_hz
        return speech_spans(
            self.probabilities(samples, native_hz),
            frame_s=frame_s,
            duration_s=len(samples) / native_hz,
            config=self.config,
        )

    def probabilities(self, samples: Samples, rate_hz: int) -> NDArray[np.float32]:
        """Speech probabilities (frames,) of samples (n,) at 8 or 16 kHz, one for each 32 ms."""
        if self._session is None:
            self._session = _load()
        width, context_width = _FRAME[rate_hz], _CONTEXT[rate_hz]
        frames = np.pad(samples, (context_width, -len(samples) % width))
        state = np.zeros(_STATE_SHAPE, dtype=np.float32)
        rate = np.array(rate_hz, dtype=np.int64)
        out = np.empty((len(frames) - context_width) // width, dtype=np.float32)
        for index in range(len(out)):
            chunk = frames[index * width : (index + 1) * width + context_width]
            probability, state = self._session.run(
                None, {"input": chunk[None], "state": state, "sr": rate}
            )
            out[index] = probability[0, 0]
        return out


def speech_spans(
    probabilities: NDArray[np.float32], *, frame_s: float, duration_s: float, config: VadConfig
) -> tuple[Span, ...]:
    """Probabilities (frames,) -> padded spans: silero's own rules (`get_speech_timestamps`).

    Speech starts at the threshold, ends where it stays under the threshold minus 0.15 for
    `min_silence_s`, and counts when longer than `min_speech_s`. `widened` by `pad_s`.
    """
    leave = max(config.threshold - _HYSTERESIS, 0.01)
    found: list[Span] = []
    start: float | None = None
    quiet_since: float | None = None
    for index, probability in enumerate(probabilities):
        now = index * frame_s
        if probability >= config.threshold:
            quiet_since = None
            if start is None:
                start = now
        elif start is not None and probability < leave:
            if quiet_since is None:
                quiet_since = now
            if now - quiet_since >= config.min_silence_s:
                if quiet_since - start > config.min_speech_s:
                    found.append(Span(start, quiet_since))
                start = quiet_since = None
    if start is not None and duration_s - start > config.min_speech_s:
        found.append(Span(start, duration_s))
    return widened(found, config.pad_s, duration_s)


def widened(spans: Sequence[Span], by_s: float, duration_s: float) -> tuple[Span, ...]:
    """Each span with up to `by_s` more on either side, within a call of `duration_s`.

    `spans` are in order and apart; two that are closer than twice `by_s` share what is between
    them.
    """
    out = []
    for index, span in enumerate(spans):
        before_s = spans[index - 1].end_s if index else -np.inf
        after_s = spans[index + 1].start_s if index + 1 < len(spans) else np.inf
        out.append(
            Span(
                max(0.0, span.start_s - min(by_s, (span.start_s - before_s) / 2)),
                min(duration_s, span.end_s + min(by_s, (after_s - span.end_s) / 2)),
            )
        )
    return tuple(out)


def _load() -> Any:
    found = importlib.util.find_spec("silero_vad")
    places = found.submodule_search_locations if found is not None else None
    path = Path(next(iter(places)), "data", "silero_vad.onnx") if places else None
    if path is None or not path.is_file():
        raise EngineUnavailableError(
            "voice activity detection needs the package silero-vad with its weights: "
            "pip install --force-reinstall silero-vad==6.2.3"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"], sess_options=options
    )
