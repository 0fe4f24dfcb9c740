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
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.serving_arms import PRODUCT, Arm, Place, Settings
from benchmarks.serving_load import quantile
from benchmarks.shared import arguments
from persona_ray.audio.g711 import encode_mulaw
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import PersonaRayError
from persona_ray.serving.live.client import LiveClient
from persona_ray.serving.live.protocol import AnyEvent, Ended, Failed, Partial, Sentence, Sound

RATE_HZ, FRAME_S = 8000, 0.1
SOUND = Sound(sample_rate_hz=RATE_HZ, encoding="mulaw")
# Calls of a step do not begin all at once.
STAGGER_S = 3.0
DISTINCT = 24
PATIENCE_S = 20.0


@dataclass
class Seen:
    """Of one step: seconds after the last word of each sentence, and what else was seen."""

    delays_s: list[float] = field(default_factory=list)
    late_s: list[float] = field(default_factory=list)
    partials: int = 0
    failed: list[str] = field(default_factory=list)
    lines: int = 0
    audio_s: float = 0.0


def lines(config: RunConfig, seconds: float) -> list[list[bytes]]:
    """The customer's channel of calls, as frames of at most `seconds`."""
    from persona_ray.audio.decode import read_audio
    from persona_ray.audio.resample import resample
    from persona_ray.corpus.archive import CallArchive
    from persona_ray.types import CallRecord

    archive, found = CallArchive(config.archive, transcripts=False), []
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


async def step(url: str, payloads: Sequence[list[bytes]], calls: int) -> Seen:
    """`calls` at once, each its own recording."""
    seen, tag = Seen(), f"{time.time():.0f}-{calls}"
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


async def _call(url: str, call_id: str, frames: list[bytes], wait_s: float, seen: Seen) -> None:
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


def show(calls: int, seen: Seen, processor_s: float) -> float:
    """A line of the table; the delay that 95 % do not exceed."""
    delays = sorted(seen.delays_s) or [float("nan")]
    p50, p95, p99 = (quantile(delays, share) for share in (0.5, 0.95, 0.99))
    late = quantile(sorted(seen.late_s), 0.95)
    print(
        f"  {calls:5}{len(seen.delays_s):11}{p50:9.2f}{p95:7.2f}{p99:7.2f}"
        f"{100 * processor_s / seen.audio_s:22.1f}{1000 * late:9.0f}{seen.partials:10}"
        f"{seen.lines:7}{len(seen.failed):8} {', '.join(sorted(set(seen.failed)))[:80]}",
        flush=True,
    )
    return p95


def ramp(arm: Arm, payloads: Sequence[list[bytes]], steps: Sequence[int], within_s: float) -> None:
    url = f"ws://127.0.0.1:{arm.port}/v1/live"
    print(
        f"  {'calls':>5}{'sentences':>11}{'p50 s':>9}{'p95':>7}{'p99':>7}"
        f"{'processor % of a call':>22}{'late ms':>9}{'partials':>10}{'lines':>7}{'failed':>8}"
    )
    held = 0
    for calls in steps:
        before = sum(arm.used_s().values())
        seen = asyncio.run(step(url, payloads, calls))
        p95 = show(calls, seen, sum(arm.used_s().values()) - before)
        if not p95 <= within_s or seen.failed:
            break
        held = calls
    print(f"held at real time, 95 % of sentences within {within_s:g} s: {held} calls")


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
    with tempfile.TemporaryDirectory() as temporary:
        place = Place(chosen.config, tuple(chosen.overrides), Path(temporary), None)
        arm = Arm(Settings(PRODUCT), place)
        try:
            arm.wait()
            # The first sentence is slow: it belongs to nobody.
            asyncio.run(step(f"ws://127.0.0.1:{arm.port}/v1/live", payloads, 1))
            ramp(arm, payloads, chosen.steps, chosen.within_s)
        finally:
            arm.end()


if __name__ == "__main__":
    main()
