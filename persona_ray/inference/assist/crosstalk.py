"""Who speaks where both channels sound: whose voice a channel holds, and who talks over whom.

A channel that holds the other side's voice (an echo of the line, a loudspeaker beside the
microphone, wires that touch) repeats it: later, quieter, through a filter. So what is asked is how
much of a channel's sound follows from the other's by any filter shorter than a window of 64 ms,
after the lag at which both are most alike: the share of its power that is coherent with the other
(Carter 1987, "Coherence and time delay estimation"; the lag by Knapp & Carter 1976, phase
transform). Loudness does not change it. Two people who talk at once are not coherent. The louder
side is the speaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.audio.vad import Span
from persona_ray.conversation import Speaker
from persona_ray.inference.assist.records import NotHeard

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.config.assist import EarsConfig
    from persona_ray.types import Samples

_Number = TypeVar("_Number", np.float64, np.complex128)

# Sound of the other channel that is worth having before and after a stretch: an echo's lag.
BESIDE_S = 0.3
_RATE_HZ = 8000
_WINDOW, _HOP = 512, 128
_HOP_S = _HOP / _RATE_HZ
# Coherence is measured over so many frames: 0.64 s. Windows that overlap by three quarters are
# worth about half as many that do not.
_OVER, _WORTH = 40, 0.52
# Power at which nothing is heard: -70 dB of full scale.
_SILENT_POWER = 1e-7
# An echo comes later: a lag of at least this speaks for it as so many decibels do.
_LAG_S, _LAG_DB = 0.01, 6.0
# Rests of speech that are shorter are no speech.
_LEAST_S = 0.2


class Stretch(Protocol):
    """Sound of one channel: samples (n,) from `start_s` of the call on. `speech` in seconds from
    there. An `Utterance` of the live line is one."""

    @property
    def samples(self) -> Samples: ...
    @property
    def sample_rate_hz(self) -> int: ...
    @property
    def start_s(self) -> float: ...
    @property
    def speech(self) -> Sequence[Span]: ...


@dataclass(frozen=True, slots=True, eq=False)
class OwnSpeech:
    """What a channel's own speaker said in a stretch: `samples` with the other's voice silenced,
    `speech` without it, in seconds from `start_s`. `overlap`: share of that speech during which the
    other side speaks, too."""

    samples: Samples
    sample_rate_hz: int
    start_s: float
    speech: tuple[Span, ...]
    overlap: float = 0.0


def own_speech(
    speaker: Speaker, stretch: Stretch, other: Stretch | None, config: EarsConfig
) -> OwnSpeech | NotHeard:
    """The stretch of `speaker`'s channel without the voice of the other side. `other`: the other
    channel over the same time, and `BESIDE_S` before and after where there is any; None: there is
    no other channel. Both at the same rate."""
    rate_hz = stretch.sample_rate_hz
    speech = tuple(stretch.speech)
    if not speech:
        end_s = stretch.start_s + len(stretch.samples) / rate_hz
        return NotHeard(stretch.start_s, end_s, "silence")
    others = [] if other is None else _moved(other.speech, other.start_s - stretch.start_s)
    if other is None or not _seconds(_common(speech, others, BESIDE_S)):
        return OwnSpeech(stretch.samples, rate_hz, stretch.start_s, speech)
    likeness, louder_db = _likeness(stretch, other, others)
    alike = _with_neighbours(likeness, config.echo)
    # Where nothing tells them apart it is the agent who speaks.
    echo = alike & (louder_db >= 0 if speaker is Speaker.CUSTOMER else louder_db > 0)
    rest = tuple(span for span in _without(speech, _spans(echo)) if span.duration_s >= _LEAST_S)
    if not rest:
        return NotHeard(
            stretch.start_s + speech[0].start_s, stretch.start_s + speech[-1].end_s, "echo"
        )
    samples = stretch.samples
    if echo.any():
        samples = samples.copy()
        for span in _spans(echo):
            samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)] = 0
    talked_over = _without(_common(rest, others, 0.0), _spans(alike & ~echo))
    overlap = _seconds(talked_over) / _seconds(rest)
    return OwnSpeech(samples, rate_hz, stretch.start_s, rest if echo.any() else speech, overlap)


def _likeness(
    stretch: Stretch, other: Stretch, others: Sequence[Span]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(frames,) of the stretch: the share of its power that follows from the other channel's, 0 to
    1, and by how many decibels the other is louder; delay counts as loudness."""
    size = round(len(stretch.samples) * _RATE_HZ / stretch.sample_rate_hz)
    own = _fitted(resample(stretch.samples, stretch.sample_rate_hz, _RATE_HZ), 0, size)
    first = round((stretch.start_s - other.start_s) * _RATE_HZ)
    heard = resample(other.samples, other.sample_rate_hz, _RATE_HZ)
    most = round(BESIDE_S * _RATE_HZ)
    # The other channel with so much more on either side.
    beside = _fitted(heard, first - most, size + 2 * most)
    asked = np.zeros(size, dtype=bool)
    for span in others:
        from_s, to_s = max(span.start_s - BESIDE_S, 0.0), max(span.end_s + BESIDE_S, 0.0)
        asked[round(from_s * _RATE_HZ) : round(to_s * _RATE_HZ)] = True
    a = _spectra(own)
    near = np.where(asked, own, 0.0)
    lags = {*_lags(near, beside, most), *_lags(_levelled(near), _levelled(beside), most)}
    both = [
        _aligned(a, _spectra(beside[most - lag : most - lag + size]), lag) for lag in sorted(lags)
    ]
    # Each side's voice may be on the other's channel: of a frame, the lag counts that explains it.
    best = np.argmax([likeness for likeness, _ in both], axis=0)
    likeness, louder_db = (np.choose(best, each) for each in zip(*both, strict=True))
    return likeness, louder_db


def _aligned(
    a: NDArray[np.complex128], b: NDArray[np.complex128], lag: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As `_likeness`, of spectra of a channel and of the other, from which it is `lag` late."""
    cross, ours, theirs = (_over(one) for one in (a * b.conj(), np.abs(a) ** 2, np.abs(b) ** 2))
    power, beside_power = ours.sum(axis=1), theirs.sum(axis=1)
    explained = (np.abs(cross) ** 2 / np.maximum(theirs, 1e-12)).sum(axis=1)
    # By chance alone, the mean of n has a coherence of 1 / n; a short word fills few of the frames.
    squares = _over((np.abs(a) ** 2).sum(axis=1, keepdims=True) ** 2)[:, 0]
    filled = min(_OVER, len(a)) * power**2 / np.maximum(squares, 1e-18)
    chance = np.minimum(1 / np.maximum(_WORTH * filled, 1e-9), 0.99)
    likeness = (explained / np.maximum(power, 1e-9) - chance) / (1 - chance)
    louder_db = 10 * np.log10(np.maximum(beside_power, 1e-9) / np.maximum(power, 1e-9))
    if abs(lag) >= _LAG_S * _RATE_HZ:
        louder_db += np.copysign(_LAG_DB, lag)
    return likeness, louder_db


def _with_neighbours(likeness: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    """(frames,): at least `least`, or half of it beside one that is: the ends of an echo."""
    found = np.zeros(len(likeness), dtype=bool)
    edges = np.flatnonzero(np.diff(np.pad(likeness >= least / 2, 1).astype(np.int8)))
    for first, last in edges.reshape(-1, 2):
        found[first:last] = likeness[first:last].max() >= least
    return found


def _levelled(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Samples (n,) of about the same power everywhere: a quiet echo beside loud speech has a lag,
    too."""
    width = _WINDOW * 4
    power = np.cumsum(np.pad(samples**2, width // 2))
    found: NDArray[np.float64] = samples / np.sqrt(
        (power[width:] - power[:-width]) / width + _SILENT_POWER
    )
    return found


def _lags(own: NDArray[np.float64], beside: NDArray[np.float64], most: int) -> tuple[int, int]:
    """By how many samples `own` (n,) comes before, and after, the same sound in `beside`
    (n + 2 most,), whose sample `most` is own's first: -most to 0, and 0 to most."""
    size = len(own) + len(beside)
    cross = np.fft.rfft(own, size) * np.fft.rfft(beside, size).conj()
    magnitude = np.abs(cross)
    # Frequencies without power have no phase to speak of.
    cross /= magnitude + 1e-3 * magnitude.max(initial=0.0) + 1e-12
    alike = np.fft.irfft(cross, size)
    # own(t) = beside(t + most - lag): the shift of own against beside is lag - most, -2 most to 0.
    shifts = np.concatenate([alike[-2 * most :], alike[:1]])
    return int(np.argmax(shifts[: most + 1])) - most, int(np.argmax(shifts[most:]))


def _spectra(samples: NDArray[np.float64]) -> NDArray[np.complex128]:
    """(frames, frequencies); frame t is centred on t * _HOP."""
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW // 2))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    found: NDArray[np.complex128] = np.fft.rfft(frames * np.hanning(_WINDOW), axis=1)
    return found


def _over(values: NDArray[_Number]) -> NDArray[_Number]:
    """Means (frames, frequencies) over `_OVER` frames around each, fewer at the ends."""
    total = np.cumsum(np.pad(values, ((1, 0), (0, 0))), axis=0)
    at = np.arange(len(values))
    # A window at an end is as long as the others where there is enough sound.
    first = np.clip(at - _OVER // 2, 0, max(len(values) - _OVER, 0))
    last = np.minimum(first + _OVER, len(values))
    found: NDArray[_Number] = (total[last] - total[first]) / (last - first)[:, None]
    return found


def _fitted(samples: Samples, first: int, size: int) -> NDArray[np.float64]:
    """Samples first to first + size, silence where there are none."""
    found = np.zeros(size)
    part = samples[max(first, 0) : max(first + size, 0)]
    at = max(-first, 0)
    found[at : at + len(part)] = part
    return found


def _moved(spans: Sequence[Span], by_s: float) -> list[Span]:
    return [Span(span.start_s + by_s, span.end_s + by_s) for span in spans]


def _spans(frames: NDArray[np.bool_]) -> list[Span]:
    """Where frames (n,) are set, in seconds."""
    edges = np.flatnonzero(np.diff(np.pad(frames, 1).astype(np.int8)))
    return [
        Span(max(first - 0.5, 0.0) * _HOP_S, (last - 0.5) * _HOP_S)
        for first, last in edges.reshape(-1, 2).tolist()
    ]


def _without(spans: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """`spans` less `others`."""
    found = list(spans)
    for other in others:
        found = [
            part
            for span in found
            for part in (
                Span(span.start_s, min(span.end_s, other.start_s)),
                Span(max(span.start_s, other.end_s), span.end_s),
            )
            if part.duration_s > 0
        ]
    return found


def _common(spans: Sequence[Span], others: Sequence[Span], beyond_s: float) -> list[Span]:
    """What `spans` share with `others`, which reach so much further."""
    pairs = ((span, other) for span in spans for other in others)
    shared = (
        Span(max(span.start_s, other.start_s - beyond_s), min(span.end_s, other.end_s + beyond_s))
        for span, other in pairs
    )
    return [span for span in shared if span.duration_s > 0]


def _seconds(spans: Sequence[Span]) -> float:
    return sum(span.duration_s for span in spans)
