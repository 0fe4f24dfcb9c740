"""The robot's sound for the line: numbered frames in the caller's own encoding and rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.g711 import encode_alaw, encode_mulaw
from persona_ray.audio.resample import StreamResampler
from persona_ray.serving.live.frames import frame

if TYPE_CHECKING:
    from persona_ray.inference.screening.speaking import RobotSound
    from persona_ray.serving.live.protocol import Sound
    from persona_ray.types import Samples


class RobotFrames:
    """Of one connection. One channel, however many the caller's side has."""

    def __init__(self, sound: Sound) -> None:
        self._sound = sound
        self._number = 0
        self._saying = 0
        self._from_hz = 0
        self._converter = StreamResampler(sound.sample_rate_hz, sound.sample_rate_hz)

    def frame(self, robot: RobotSound) -> tuple[bytes, Samples]:
        """A frame as it goes over the line, empty where its sound comes with the next one, and
        its samples (n,) at the line's rate."""
        if (robot.saying, robot.rate_hz) != (self._saying, self._from_hz):
            # Another saying has nothing to do with the last one's end.
            self._saying, self._from_hz = robot.saying, robot.rate_hz
            self._converter = StreamResampler(robot.rate_hz, self._sound.sample_rate_hz)
        samples = self._converter.push(robot.samples)
        if not len(samples):
            return b"", samples
        self._number += 1
        return frame(self._number, encoded(samples, self._sound.encoding)), samples


def encoded(samples: Samples, encoding: str) -> bytes:
    """Samples (n,) in [-1, 1] as pcm16 (little-endian), mulaw or alaw."""
    if encoding == "mulaw":
        return encode_mulaw(samples)
    if encoding == "alaw":
        return encode_alaw(samples)
    return np.clip(np.rint(samples * 32_768), -32_768, 32_767).astype("<i2").tobytes()
