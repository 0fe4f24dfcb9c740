"""Voice activity while a call goes on: the same probabilities, whatever the pieces it comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.vad import CONTEXT, FRAME, silent_past

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.audio.vad import State, VoiceActivity
    from persona_ray.types import Samples


class VoiceStream:
    """One call's voice activity at 8 or 16 kHz.

    Goes on with a call where another left it: `frames` that it had heard, `state` of the network
    after them. It then wants sound from `wanted` on; what lies before is left out.
    """

    def __init__(
        self, voice: VoiceActivity, rate_hz: int, frames: int = 0, state: State | None = None
    ) -> None:
        self.frame_s = FRAME[rate_hz] / rate_hz
        self.state = silent_past() if state is None else state
        self.frames = frames
        self._voice = voice
        self._rate_hz = rate_hz
        self.width, self._context = FRAME[rate_hz], CONTEXT[rate_hz]
        # Before a call there is silence, and the first frame wants something before it too.
        self._pending = np.zeros(0 if frames else self._context, dtype=np.float32)

    @property
    def wanted(self) -> int:
        """Number of the sample that is wanted next."""
        return self.frames * self.width - self._context + len(self._pending)

    def push(self, samples: Samples, position: int) -> NDArray[np.float32]:
        """Samples (n,) from sample `position` on -> probabilities of the frames they complete.

        ValueError where `position` leaves out some that are wanted.
        """
        before = self.wanted - position
        if before < 0:
            raise ValueError(f"voice activity wants sample {self.wanted}, not {position}")
        self._pending = np.concatenate([self._pending, samples[before:]])
        return self._run(self._pending)

    def finish(self) -> NDArray[np.float32]:
        """The last frame (0 or 1), filled up with silence."""
        rest = len(self._pending) - self._context
        if rest <= 0:
            return np.zeros(0, dtype=np.float32)
        return self._run(np.pad(self._pending, (0, self.width - rest)))

    def _run(self, sound: Samples) -> NDArray[np.float32]:
        found, self.state = self._voice.frames(sound, self._rate_hz, self.state)
        self.frames += len(found)
        self._pending = sound[len(found) * self.width :]
        return found
