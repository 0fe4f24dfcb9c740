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

    # The network's memory, (2, 1, 128).
    State = NDArray[np.float32]

_WIDE_HZ, _NARROW_HZ = 16_000, 8_000
# What the network is fed at a time, and how much of the past stands before it (silero v6).
FRAME = {_NARROW_HZ: 256, _WIDE_HZ: 512}
CONTEXT = {_NARROW_HZ: 32, _WIDE_HZ: 64}
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
        native_hz = native_rate(rate_hz)
        samples = resample(samples, rate_hz, native_hz)
        frame_s = FRAME[native_hz] / native_hz
        return speech_spans(
            self.probabilities(samples, native_hz),
            frame_s=frame_s,
            duration_s=len(samples) / native_hz,
            config=self.config,
        )

    def probabilities(self, samples: Samples, rate_hz: int) -> NDArray[np.float32]:
        """Speech probabilities (frames,) of samples (n,) at 8 or 16 kHz, one for each 32 ms."""
        context = CONTEXT[rate_hz]
        padded = np.pad(samples, (context, -len(samples) % FRAME[rate_hz]))
        return self.frames(padded, rate_hz, silent_past())[0]

    def frames(
        self, samples: Samples, rate_hz: int, state: State
    ) -> tuple[NDArray[np.float32], State]:
        """Probabilities (frames,) of whole frames with their context before them, and what the
        network remembers after them. `state` is what it remembered before."""
        if self._session is None:
            self._session = _load()
        width, context = FRAME[rate_hz], CONTEXT[rate_hz]
        rate = np.array(rate_hz, dtype=np.int64)
        out = np.empty(max(0, len(samples) - context) // width, dtype=np.float32)
        for index in range(len(out)):
            chunk = samples[index * width : (index + 1) * width + context]
            probability, state = self._session.run(
                None, {"input": chunk[None], "state": state, "sr": rate}
            )
            out[index] = probability[0, 0]
        return out, state


def native_rate(rate_hz: int) -> int:
    """The rate that the network hears sound of `rate_hz` at."""
    return _NARROW_HZ if rate_hz < _WIDE_HZ else _WIDE_HZ


def silent_past() -> State:
    """What the network remembers before it has heard anything."""
    return np.zeros(_STATE_SHAPE, dtype=np.float32)


class SpanFinder:
    """Probabilities, frame by frame -> spans before they are widened: silero's own rules
    (`get_speech_timestamps`).

    Speech starts at the threshold, ends where it stays under the threshold minus 0.15 for
    `min_silence_s`, and counts when longer than `min_speech_s`.
    """

    def __init__(self, frame_s: float, config: VadConfig) -> None:
        self.frame_s = frame_s
        self.frames = 0
        # Where speech began that has not ended, and since when it has been quiet in it.
        self.start_s: float | None = None
        self.quiet_since_s: float | None = None
        # Speech that was cut counts however short its rest is.
        self.cut = False
        self._config = config
        self._leave = max(config.threshold - _HYSTERESIS, 0.01)

    @property
    def heard_s(self) -> float:
        """Where the next frame begins."""
        return self.frames * self.frame_s

    def push(self, probability: float) -> Span | None:
        """The span that this frame ends."""
        now = self.frames * self.frame_s
        self.frames += 1
        if probability >= self._config.threshold:
            self.quiet_since_s = None
            if self.start_s is None:
                self.start_s = now
        elif self.start_s is not None and probability < self._leave:
            if self.quiet_since_s is None:
                self.quiet_since_s = now
            if now - self.quiet_since_s >= self._config.min_silence_s:
                return self._end(self.quiet_since_s)
        return None

    def finish(self, duration_s: float) -> Span | None:
        """The span that the end of the call ends."""
        return self._end(duration_s)

    def split(self, at_s: float) -> Span | None:
        """Speech up to `at_s`, which lies in speech that has not ended; it goes on from there."""
        if self.start_s is None:
            return None
        before = Span(self.start_s, at_s)
        self.start_s, self.cut = at_s, True
        return before

    def _end(self, end_s: float) -> Span | None:
        start_s, cut = self.start_s, self.cut
        self.start_s = self.quiet_since_s = None
        self.cut = False
        if start_s is None or not (cut or end_s - start_s > self._config.min_speech_s):
            return None
        return Span(start_s, end_s)


def speech_spans(
    probabilities: NDArray[np.float32], *, frame_s: float, duration_s: float, config: VadConfig
) -> tuple[Span, ...]:
    """Probabilities (frames,) -> spans by the rules of `SpanFinder`, `widened` by `pad_s`."""
    finder = SpanFinder(frame_s, config)
    ended = [finder.push(float(probability)) for probability in probabilities]
    ended.append(finder.finish(duration_s))
    found = [span for span in ended if span is not None]
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
