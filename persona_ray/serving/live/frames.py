"""From numbered frames to sound, and back from settled sound to settled frames."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.g711 import decode_alaw, decode_mulaw
from persona_ray.audio.resample import StreamResampler
from persona_ray.errors import RequestError
from persona_ray.serving.live.protocol import HEADER_BYTES, LONGEST_FRAME_S

if TYPE_CHECKING:
    from persona_ray.serving.live.protocol import Sound
    from persona_ray.types import Samples

_HEADER = struct.Struct(">I")
_FULL = np.float32(32_768)


def frame(number: int, payload: bytes) -> bytes:
    """A frame as it goes over the line."""
    return _HEADER.pack(number) + payload


def decode(sound: Sound, payload: bytes) -> Samples:
    """The customer's samples (n,) in [-1, 1]. Raises RequestError."""
    return _decode(sound, payload, (sound.customer_channel,))[0]


def _decode(sound: Sound, payload: bytes, channels: Sequence[int]) -> list[Samples]:
    if len(payload) % sound.sample_bytes:
        raise RequestError(
            "live.odd_bytes",
            f"a frame of {len(payload)} bytes, where {sound.channels} channel(s) of "
            f"{sound.encoding} take {sound.sample_bytes} bytes a moment",
            status=400,
            field="encoding",
            fix="send whole samples of all channels, in the encoding that start names",
        )
    moments = len(payload) // sound.sample_bytes
    if moments > LONGEST_FRAME_S * sound.sample_rate_hz:
        raise RequestError(
            "live.long_frame",
            f"a frame of {moments / sound.sample_rate_hz:.1f} s",
            status=400,
            fix=f"send frames of at most {LONGEST_FRAME_S:g} s; 0.02 to 0.1 s are usual",
        )
    if sound.encoding == "pcm16":
        # What read_audio makes of 16-bit files, to the last bit.
        samples = np.frombuffer(payload, dtype="<i2").astype(np.float32) / _FULL
    else:
        samples = (decode_mulaw if sound.encoding == "mulaw" else decode_alaw)(payload)
    return [np.ascontiguousarray(samples[channel :: sound.channels]) for channel in channels]


class ChannelsIntake:
    """One call's frames in order -> the sound at `rate_hz` of some of their channels.

    Goes on with a call at frame `next_frame`, which begins `offset` samples into it.
    """

    def __init__(
        self,
        sound: Sound,
        rate_hz: int,
        longest_s: float,
        channels: Sequence[int],
        next_frame: int = 1,
        offset: int = 0,
    ) -> None:
        self.next_frame = next_frame
        self._sound = sound
        self._rate_hz = rate_hz
        self._longest_s = longest_s
        self._end = offset
        # Where frames begin that are not settled, the next one to come included.
        self._begins: deque[tuple[int, int]] = deque([(next_frame, offset)])
        self._channels = tuple(channels)
        self._converters = [
            StreamResampler(sound.sample_rate_hz, rate_hz, offset) for _ in self._channels
        ]

    @property
    def position(self) -> int:
        """Number of the sample that comes out next."""
        return self._converters[0].position

    @property
    def heard_s(self) -> float:
        return self._end / self._sound.sample_rate_hz

    def take_all(self, message: bytes) -> list[Samples] | None:
        """A frame -> samples (n,) of each channel, as many of all; None for a frame that has come
        before. Raises RequestError."""
        if len(message) < HEADER_BYTES:
            raise RequestError(
                "live.frame",
                f"a frame of {len(message)} bytes, without room for its number",
                status=400,
                fix="begin each frame with its number: 4 bytes, big-endian, counted from 1",
            )
        (number,) = _HEADER.unpack_from(message)
        if number < self.next_frame:
            return None
        if number > self.next_frame:
            missing = str(self.next_frame)
            if number - 1 > self.next_frame:
                missing += f" to {number - 1}"
            raise RequestError(
                "live.missing_frames",
                f"frame {number} has come without {missing}",
                status=400,
                fix="connect again with resume_from, and send all frames after the last ack",
            )
        parts = _decode(self._sound, message[HEADER_BYTES:], self._channels)
        moments = len(parts[0])
        if self._end + moments > self._longest_s * self._sound.sample_rate_hz:
            raise RequestError(
                "live.too_long",
                f"the call is longer than {self._longest_s:g} s",
                status=413,
                fix="end the call and start another, or raise serving.limits.max_call_s",
            )
        self.next_frame += 1
        self._end += moments
        if not moments:
            # Any number of frames without sound is no more to remember than one.
            self._begins.pop()
        self._begins.append((self.next_frame, self._end))
        return [
            converter.push(samples)
            for converter, samples in zip(self._converters, parts, strict=True)
        ]

    def finish_all(self) -> list[Samples]:
        """What is left of the sound at the end of the call."""
        return [converter.finish() for converter in self._converters]

    def settled(self, position: int) -> tuple[int, int]:
        """Sound before sample `position` (at `rate_hz`) is settled -> the last frame that nobody
        needs, and where the one after it begins, in samples of the line."""
        while len(self._begins) > 1 and self._first_heard(self._begins[1][1]) <= position:
            self._begins.popleft()
        number, begin = self._begins[0]
        return number - 1, begin

    def _first_heard(self, offset: int) -> int:
        """The first sample at `rate_hz` that is right where the line goes on at `offset`."""
        return StreamResampler(self._sound.sample_rate_hz, self._rate_hz, offset).position


class FrameIntake(ChannelsIntake):
    """That of the customer alone."""

    def __init__(
        self, sound: Sound, rate_hz: int, longest_s: float, next_frame: int = 1, offset: int = 0
    ) -> None:
        super().__init__(sound, rate_hz, longest_s, (sound.customer_channel,), next_frame, offset)

    def take(self, message: bytes) -> Samples | None:
        """As `take_all`, samples (n,)."""
        found = self.take_all(message)
        return None if found is None else found[0]

    def finish(self) -> Samples:
        """As `finish_all`, samples (n,)."""
        return self.finish_all()[0]
