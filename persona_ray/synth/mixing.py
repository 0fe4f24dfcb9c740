"""One call's turns on a stereo timeline, with the dirt that lives in the sound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.synth import sound
from persona_ray.synth.dialogue import CallPlan, Turn
from persona_ray.synth.speech import SpeechCache, line_of
from persona_ray.synth.streams import Part, stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.synth.config import SynthConfig

AGENT_CHANNEL, CUSTOMER_CHANNEL = 0, 1

_LINE_NOISE_DBFS = -85.0
_NOISE_SNR_DB = (5.0, 15.0)
_END_S = 0.6


@dataclass(frozen=True, slots=True)
class Placed:
    """A turn on the timeline, in seconds and on the channel of the file."""

    turn: Turn
    channel: int
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class MixedCall:
    """The sound of a call: `samples` (samples, channels) at `rate_hz`, and what is where."""

    samples: NDArray[np.float32]
    rate_hz: int
    placed: tuple[Placed, ...]
    customer_channel: int

    @property
    def duration_s(self) -> float:
        return int(self.samples.shape[0]) / self.rate_hz


def mix(config: SynthConfig, call: CallPlan, cache: SpeechCache) -> MixedCall:
    """The sound of `call`. Raises `SynthesisError` when a line was never spoken."""
    rate_hz = config.sample_rate_hz
    rng = stream(config, Part.SOUND, call.number)
    turns = [
        turn
        for turn in call.turns
        if not (call.dirt == "silent_customer" and turn.speaker == "customer")
    ]
    spoken = [sound.deliver(*cache.read(line_of(turn)), rate_hz, turn.prosody) for turn in turns]
    placed, length = _place(turns, [samples.size for samples in spoken], rate_hz, call.dirt)
    timeline = np.zeros((length, 2), np.float32)
    for channel in (AGENT_CHANNEL, CUSTOMER_CHANNEL):
        timeline[:, channel] = sound.line_noise(rng, length, _LINE_NOISE_DBFS)
    for place, samples in zip(placed, spoken, strict=True):
        start = round(place.start_s * rate_hz)
        timeline[start : start + samples.size, _own_channel(place.turn)] += samples
    if call.dirt == "noise":
        timeline[:, CUSTOMER_CHANNEL] += _background(rng, timeline[:, CUSTOMER_CHANNEL], rate_hz)
    customer = CUSTOMER_CHANNEL
    if call.dirt == "swapped_channels":
        timeline, customer = timeline[:, ::-1], AGENT_CHANNEL
    if call.dirt == "mono":
        timeline, customer = timeline.sum(axis=1, keepdims=True), 0
    return MixedCall(np.clip(timeline, -1, 1), rate_hz, placed, customer)


def _place(
    turns: list[Turn], sizes: list[int], rate_hz: int, dirt: str | None
) -> tuple[tuple[Placed, ...], int]:
    """Start and end of each turn in whole samples, and the length of the call in samples."""
    placed: list[Placed] = []
    end = 0
    for turn, size in zip(turns, sizes, strict=True):
        start = max(0, end + round(turn.gap_s * rate_hz))
        placed.append(Placed(turn, _channel(turn, dirt), start / rate_hz, (start + size) / rate_hz))
        end = max(end, start + size)
    return tuple(placed), end + round(_END_S * rate_hz)


def _own_channel(turn: Turn) -> int:
    return AGENT_CHANNEL if turn.speaker == "agent" else CUSTOMER_CHANNEL


def _channel(turn: Turn, dirt: str | None) -> int:
    """The channel of the file, which dirt may change."""
    if dirt == "mono":
        return 0
    own = _own_channel(turn)
    return 1 - own if dirt == "swapped_channels" else own


def _background(
    rng: np.random.Generator, speech: NDArray[np.float32], rate_hz: int
) -> NDArray[np.float32]:
    """A street: noise that swells, in the telephone band, at a drawn ratio to the speech."""
    snr_db = float(rng.uniform(*_NOISE_SNR_DB))
    noise = sound.telephone(sound.line_noise(rng, speech.size, -20.0), rate_hz, -3.0)
    seconds = np.arange(speech.size) / rate_hz
    swell = 1 + 0.4 * np.sin(2 * np.pi * (0.3 * seconds + float(rng.random())))
    street = noise * swell
    level = sound.speech_rms(speech, rate_hz) * 10 ** (-snr_db / 20)
    scaled = street * (level / float(np.sqrt(np.mean(street**2))))
    return np.asarray(scaled, dtype=np.float32)
