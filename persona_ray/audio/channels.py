"""From a decoded file to the customer's track."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.errors import ChannelError, SilentError, TruncatedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.audio.decode import DecodedAudio
    from persona_ray.config.corpus import ArchiveConfig, AudioConfig
    from persona_ray.types import CallRecord, Samples

_LEVEL_WINDOW_S = 0.02
# One signal written twice differs by its coding alone; crosstalk between two people by far more.
_SAME_SIGNAL_DB = -35.0


@dataclass(frozen=True, slots=True)
class Track:
    """One channel of a call: `samples` (n,) at `sample_rate_hz`, from channel `channel`.

    `flags` are those of the file and `mono` (one channel taken as the customer's), `channels`
    (more or fewer than promised), `converted_rate`.
    """

    samples: Samples
    sample_rate_hz: int
    channel: int
    flags: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate_hz


def customer_track(
    audio: DecodedAudio, record: CallRecord, config: ArchiveConfig, audio_config: AudioConfig
) -> Track:
    """The customer's channel by the call's channel map, at `audio_config.sample_rate_hz`.

    Raises TruncatedError (shorter than the database promises), ChannelError (the channel is not
    in the file, or both sides are in one channel and `config.mono` is `quarantine`) or SilentError
    (nothing above `audio_config.min_level_db`).
    """
    if record.duration_s and audio.duration_s < audio_config.truncated_below * record.duration_s:
        raise TruncatedError(
            f"{record.audio_uri} lasts {audio.duration_s:.1f} s where the database promises "
            f"{record.duration_s:.1f} s"
        )
    flags = list(audio.flags)
    channel = _channel(audio, record, config, flags)
    samples: Samples = np.ascontiguousarray(audio.samples[channel])
    level_db = loudest_db(samples, audio.sample_rate_hz)
    if level_db < audio_config.min_level_db:
        raise SilentError(
            f"{record.audio_uri} channel {channel} never rises above {level_db:.0f} dBFS "
            f"(audio.min_level_db {audio_config.min_level_db:g})"
        )
    if record.channels >= 2 and audio.channels >= 2 and same_signal(audio.samples, channel):
        _mono(f"{record.audio_uri} holds one signal in all its channels", record, config, flags)
    if audio.sample_rate_hz != audio_config.sample_rate_hz:
        samples = resample(samples, audio.sample_rate_hz, audio_config.sample_rate_hz)
        flags.append("converted_rate")
    return Track(samples, audio_config.sample_rate_hz, channel, tuple(flags))


def loudest_db(samples: Samples, rate_hz: int) -> float:
    """Root mean square of the loudest 20 ms of samples (n,), in dBFS; -200 for digital silence."""
    width = max(1, round(_LEVEL_WINDOW_S * rate_hz))
    padded = np.pad(samples, (0, -len(samples) % width))
    power = float(np.max(np.mean(padded.reshape(-1, width) ** 2, axis=1), initial=0.0))
    return float(10 * np.log10(max(power, 1e-20)))


def _channel(
    audio: DecodedAudio, record: CallRecord, config: ArchiveConfig, flags: list[str]
) -> int:
    if audio.channels == 1 and record.channels >= 2:
        _mono(f"{record.audio_uri} has one channel", record, config, flags)
        return 0
    if not 0 <= record.customer_channel < audio.channels:
        raise ChannelError(
            f"{record.audio_uri} has {audio.channels} channel(s), none of them the customer's "
            f"channel {record.customer_channel} (counted from 0)"
        )
    if audio.channels != record.channels:
        flags.append("channels")
    return record.customer_channel


def _mono(what: str, record: CallRecord, config: ArchiveConfig, flags: list[str]) -> None:
    if config.mono == "quarantine":
        raise ChannelError(
            f"{what} where the database promises {record.channels}: customer and agent cannot be "
            "told apart (archive.mono = customer takes it as the customer alone)"
        )
    flags.append("mono")


def same_signal(samples: NDArray[np.float32], channel: int) -> bool:
    """Whether every channel of samples (channels, frames) repeats channel `channel`, as mono that
    was written twice does."""
    reference = samples[channel]
    power = float(np.mean(np.square(reference)))
    for other in range(len(samples)):
        if other == channel:
            continue
        difference = float(np.mean(np.square(samples[other] - reference)))
        if difference > power * 10 ** (_SAME_SIGNAL_DB / 10):
            return False
    return True
