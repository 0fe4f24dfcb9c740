"""A client of screened calls: the caller's side of a line, which comes again when it breaks.

    client = CallClient("http://127.0.0.1:8600", "call-1", Sound(encoding="mulaw"), key=key)
    ended = await client.call(on_event, on_sound)

A line never stops: where nobody speaks it carries silence. What the caller says is given by `say`,
at any time; `hang_up` ends the call once it is said.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.audio.resample import resample
from persona_ray.serving.live.frames import decode
from persona_ray.serving.live.line_client import LineClient, websocket
from persona_ray.serving.live.protocol import HEADER_BYTES
from persona_ray.serving.screening.protocol import CallEnded, CallEventOut, read_event
from persona_ray.serving.screening.robot_sound import encoded

if TYPE_CHECKING:
    import ssl

    from persona_ray.serving.live.protocol import Sound
    from persona_ray.types import Samples

_FRAME_S = 0.04
_PATH = "/v1/screening/calls"

OnEvent = Callable[[CallEventOut], None]
OnSound = Callable[["Samples"], None]


class CallClient(LineClient[CallEventOut, CallEnded]):
    """One call. `start`: further fields of the first message (number, user_id, ...). `patience_s`:
    how long it tries to come again. `speed`: of the caller's line against real time. `trust`: as
    `LineClient` has it."""

    def __init__(
        self,
        url: str,
        call_id: str,
        sound: Sound,
        *,
        key: str = "",
        start: Mapping[str, Any] | None = None,
        patience_s: float = 15.0,
        speed: float = 1.0,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            calls_url(url),
            {"call_id": call_id, **sound.model_dump(), **(start or {})},
            read=read_event,
            ended=CallEnded,
            key=key,
            patience_s=patience_s,
            longest_wait_s=2.0,
            trust=trust,
        )
        self._sound = sound
        # What comes back is the robot alone.
        self._robot = sound.model_copy(update={"channels": 1, "customer_channel": 0})
        self._on_sound: OnSound = lambda _: None
        self._step_s = _FRAME_S / speed
        self._speech: deque[bytes] = deque()
        self._leaving = False

    def say(self, samples: Samples, rate_hz: int) -> None:
        """Speech of the caller: mono samples (n,) in [-1, 1]."""
        line_hz = self._sound.sample_rate_hz
        there = resample(np.ascontiguousarray(samples, dtype=np.float32), rate_hz, line_hz)
        size = round(_FRAME_S * line_hz)
        for at in range(0, len(there), size):
            part = there[at : at + size]
            self._speech.append(self._payload(np.pad(part, (0, size - len(part)))))

    def hang_up(self) -> None:
        """Once everything is said."""
        self._leaving = True

    @property
    def silent(self) -> bool:
        """Everything was said."""
        return not self._speech

    async def call(self, on_event: OnEvent, on_sound: OnSound = lambda _: None) -> CallEnded:
        """Until the call has its verdict. Raises RequestError where the service refuses the call,
        ServiceLostError where it is not to be reached."""
        self._on_sound = on_sound
        return await self._stream(self._speak(), on_event)

    async def _speak(self) -> None:
        loop = asyncio.get_running_loop()
        begun, count = loop.time(), 0
        quiet = self._payload(np.zeros(round(_FRAME_S * self._sound.sample_rate_hz), np.float32))
        while not self._whole:
            await asyncio.sleep(max(0.0, begun + count * self._step_s - loop.time()))
            count += 1
            async with self._changed:
                if self._speech or not self._leaving:
                    self._kept.append(self._speech.popleft() if self._speech else quiet)
                else:
                    self._whole = True
                self._changed.notify_all()

    def _hear(self, message: bytes) -> None:
        self._on_sound(decode(self._robot, message[HEADER_BYTES:]))

    def _payload(self, samples: Samples) -> bytes:
        # The caller's channel, and nothing on the others.
        both = np.zeros((len(samples), self._sound.channels), dtype=np.float32)
        both[:, self._sound.customer_channel] = samples
        return encoded(both.ravel(), self._sound.encoding)


def calls_url(url: str) -> str:
    """The address of screened calls where an address of the service is given."""
    parts = websocket(url)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_PATH) else path + _PATH).geturl()
