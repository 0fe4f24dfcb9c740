"""How many live calls the service holds at real time.

    python -m benchmarks.serving_live --config configs/demo.yaml

`persona-ray serve` is started, and calls of the archive are streamed to it, the customer's channel
as mu-law in frames of 100 ms, paced as they were spoken. Shown is how long after its last word
each sentence came with its colour; the silence that ends an utterance (serving.live.end_gap_s) is
in it, for nobody can know before. There are more calls at each step, until 95 % of the sentences
do not come within `--within-s` any more. `late` is how much the client itself was behind: where it
is not small, the figures are the client's. `failed` are results without a colour and calls that
did not end; `lines` connections more than calls. `partials` are texts of sentences that go on.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.live_ramp import RATE_HZ, STAGGER_S, Ramp, Seen, served
from benchmarks.shared import arguments
from persona_ray.audio.g711 import encode_mulaw
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import PersonaRayError
from persona_ray.serving.live.client import LiveClient
from persona_ray.serving.live.protocol import AnyEvent, Ended, Failed, Partial, Sentence, Sound

FRAME_S = 0.1
SOUND = Sound(sample_rate_hz=RATE_HZ, encoding="mulaw")
DISTINCT = 24
PATIENCE_S = 20.0


@dataclass
class Sentences(Seen):
    """`delays_s`: seconds after the last word of each sentence."""

    partials: int = 0


def lines(config: RunConfig, seconds: float) -> list[list[bytes]]:
    """The customer's channel of calls, as frames of at most `seconds`."""
    from persona_ray.audio.decode import read_audio
    from persona_ray.audio.resample import resample
    from persona_ray.corpus.archive import CallArchive
    from persona_ray.types import CallRecord

    archive = CallArchive(config.archive, transcripts=False)
    found: list[list[bytes]] = []
    for record in (record for page in archive.pages() for record in archive.read(page)):
        if len(found) == DISTINCT:
            break
        if not isinstance(record, CallRecord):
            continue
        try:
            audio = read_audio(record.audio_uri, root=config.archive.audio_root)
        except PersonaRayError:
            # Some of the archive is damaged on purpose.
            continue
        if record.customer_channel >= audio.channels:
            continue
        channel = audio.samples[record.customer_channel]
        samples = resample(channel, audio.sample_rate_hz, RATE_HZ)[: round(seconds * RATE_HZ)]
        size = round(FRAME_S * RATE_HZ)
        found.append(
            [
                encode_mulaw(np.ascontiguousarray(samples[at : at + size]))
                for at in range(0, len(samples), size)
            ]
        )
    return found


async def step(url: str, payloads: Sequence[list[bytes]], calls: int) -> Sentences:
    """`calls` at once, each its own recording."""
    seen, tag = Sentences(), f"{time.time():.0f}-{calls}"
    await asyncio.gather(
        *(
            _call(
                url,
                f"load-{tag}-{number}",
                payloads[number % len(payloads)],
                number * STAGGER_S / calls,
                seen,
            )
            for number in range(calls)
        )
    )
    return seen


async def _call(
    url: str, call_id: str, frames: list[bytes], wait_s: float, seen: Sentences
) -> None:
    await asyncio.sleep(wait_s)
    client = LiveClient(url, call_id, SOUND, patience_s=PATIENCE_S)
    began = time.perf_counter()

    def note(event: AnyEvent) -> None:
        if isinstance(event, Sentence):
            seen.delays_s.append(time.perf_counter() - began - event.end_s)
        elif isinstance(event, Partial):
            seen.partials += 1
        elif isinstance(event, Failed):
            seen.failed.append(event.error.code)

    async def paced() -> AsyncIterator[bytes]:
        for number, frame in enumerate(frames, 1):
            # A frame can be sent when it has been spoken.
            due = began + number * FRAME_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            seen.late_s.append(time.perf_counter() - due)
            yield frame

    limit_s = len(frames) * FRAME_S + PATIENCE_S
    try:
        async with asyncio.timeout(limit_s):
            ended = await client.stream(paced(), note)
    except (PersonaRayError, TimeoutError) as error:
        seen.failed.append(f"{type(error).__name__}: {error}")
    else:
        assert isinstance(ended, Ended)
    seen.lines += client.connections - 1
    seen.audio_s += len(frames) * FRAME_S


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 4, 6, 8, 10, 12, 16, 20])
    parser.add_argument("--seconds", type=float, default=25.0, help="of each call")
    parser.add_argument("--within-s", type=float, default=2.0)
    chosen = parser.parse_args()
    try:
        payloads = lines(load_config(chosen.config, chosen.overrides), chosen.seconds)
    except PersonaRayError as error:
        sys.exit(f"error: {error}")
    with served(chosen.config, chosen.overrides) as arm:
        url = f"ws://127.0.0.1:{arm.port}/v1/live"

        async def made(calls: int) -> Sentences:
            return await step(url, payloads, calls)

        # The first sentence is slow: it belongs to nobody.
        asyncio.run(made(1))
        partials = {"partials": lambda seen: str(seen.partials)}
        Ramp("sentences", made, chosen.within_s, partials).climb(arm, chosen.steps)


if __name__ == "__main__":
    main()
