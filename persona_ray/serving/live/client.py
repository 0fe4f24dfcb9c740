"""A client of live calls: it streams, keeps what is not settled, and comes again when the line
breaks.

    client = LiveClient("ws://127.0.0.1:8600/v1/live", "call-1", Sound(encoding="mulaw"), key=key)
    ended = await client.stream(payloads, on_event)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.serving.live.line_client import StreamClient, websocket
from persona_ray.serving.live.protocol import AnyEvent, Ended, Sound, read_event

if TYPE_CHECKING:
    import ssl

    from persona_ray.types import Samples


class LiveClient(StreamClient[AnyEvent, Ended]):
    """One call. `patience_s`: how long it tries to come again without getting anywhere.
    `on_break` is told why there is no line, each time. `trust`: as `LineClient` has it."""

    def __init__(
        self,
        url: str,
        call_id: str,
        sound: Sound,
        *,
        key: str = "",
        customer_id: str = "",
        patience_s: float = 60.0,
        on_break: Callable[[str], None] = lambda _: None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            live_url(url),
            {"call_id": call_id, "customer_id": customer_id},
            sound,
            read=read_event,
            ended=Ended,
            key=key,
            patience_s=patience_s,
            longest_wait_s=5.0,
            on_break=on_break,
            trust=trust,
        )


def live_url(url: str) -> str:
    """The address of live calls where an address of the service is given."""
    parts = websocket(url)
    return parts._replace(path=parts.path if parts.path.strip("/") else "/v1/live").geturl()


async def paced(
    samples: Samples, rate_hz: int, speed: float = 1.0, frame_s: float = 0.1
) -> AsyncIterator[bytes]:
    """Samples (n,) or (n, channels) as pcm16, `speed` times as fast as they were spoken; 0: as fast
    as can be."""
    loop = asyncio.get_running_loop()
    begun, size = loop.time(), max(1, round(frame_s * rate_hz))
    for at in range(0, len(samples), size):
        if speed > 0:
            await asyncio.sleep(max(0.0, begun + at / rate_hz / speed - loop.time()))
        part = np.clip(np.rint(samples[at : at + size] * 32_768), -32_768, 32_767)
        yield part.astype("<i2").tobytes()
