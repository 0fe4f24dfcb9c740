"""The robot's voice on the line: spoken in pieces, sent hardly faster than it sounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.inference.screening.seams import Mouth
    from persona_ray.types import Samples

# A frame of the robot's sound, and how much of it may lie at the phone unheard. Together they are
# what can still sound after the caller has begun to speak, where the phone does not clear.
FRAME_S, AHEAD_S = 0.04, 0.1
# After so many characters a comma divides, too.
_LONG_PIECE = 12
_SENTENCE = re.compile(r"[^。！？!?；;…]+[。！？!?；;…]*|[。！？!?；;…]+")
_CLAUSE = re.compile(r"[^，,、：:]+[，,、：:]*|[，,、：:]+")


@dataclass(frozen=True, slots=True)
class RobotSound:
    """A frame of saying `saying`: mono samples (n,) in [-1, 1] at `rate_hz`."""

    saying: int
    samples: Samples
    rate_hz: int


def pieces(text: str) -> tuple[str, ...]:
    """Sentences, and long ones by clauses, so that the first sound comes soon. Joined they are
    `text`."""
    found: list[str] = []
    for sentence in _SENTENCE.findall(text):
        clauses = _CLAUSE.findall(sentence) if len(sentence) > _LONG_PIECE else [sentence]
        begun = ""
        for clause in clauses:
            begun += clause
            if len(begun) >= _LONG_PIECE // 2:
                found.append(begun)
                begun = ""
        if begun:
            found.append(begun)
    return tuple(found) or (text,)


async def speak(
    saying: int,
    text: str,
    mouth: Mouth,
    play: Callable[[RobotSound], Awaitable[None]],
    begun: Callable[[str], None],
    part_s: float,
) -> None:
    """Until the last sound was heard. `begun` is told all that has begun to sound, as it does.
    Cancelled, nothing more is sent. Raises what the mouth raises, TimeoutError where it takes
    longer than `part_s` for a piece, and what `play` raises."""
    clock = asyncio.get_running_loop().time
    heard_s = clock()
    said = ""
    async for piece, samples, rate_hz in _spoken(pieces(text), mouth, part_s):
        said += piece
        # Where the mouth was slow, the silence is over.
        heard_s = max(heard_s, clock())
        begun(said)
        step = max(1, round(FRAME_S * rate_hz))
        for start in range(0, len(samples), step):
            frame = samples[start : start + step]
            await asyncio.sleep(max(0.0, heard_s - AHEAD_S - clock()))
            await play(RobotSound(saying, frame, rate_hz))
            heard_s += len(frame) / rate_hz
    await asyncio.sleep(max(0.0, heard_s - clock()))


async def _spoken(
    texts: Sequence[str], mouth: Mouth, part_s: float
) -> AsyncIterator[tuple[str, Samples, int]]:
    """Each piece with its sound; the next one is being made while one sounds."""

    async def made(text: str) -> tuple[Samples, int]:
        async with asyncio.timeout(part_s):
            return await mouth.speak(text)

    ahead = asyncio.ensure_future(made(texts[0]))
    try:
        for at, text in enumerate(texts):
            samples, rate_hz = await ahead
            if at + 1 < len(texts):
                ahead = asyncio.ensure_future(made(texts[at + 1]))
            yield text, samples, rate_hz
    finally:
        ahead.cancel()
