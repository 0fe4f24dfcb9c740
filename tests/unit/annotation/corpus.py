"""A small corpus in memory, with what `CorpusDataset` offers to annotation."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict

import numpy as np

from persona_ray.types import Clip, ClipInfo

RATE_HZ = 8000


def info(
    clip_id: str,
    call_id: str = "call-1",
    start_s: float = 0.0,
    end_s: float = 1.0,
    text: str = "你们这个利率到底怎么算的",
    customer_id: str | None = None,
) -> ClipInfo:
    return ClipInfo(
        clip_id=clip_id,
        call_id=call_id,
        customer_id=customer_id or f"customer of {call_id}",
        channel=1,
        start_s=start_s,
        end_s=end_s,
        text=text,
        scene="loan",
        facts={"sex": "female", "city": "=北京"},
    )


class SmallCorpus:
    """Clips whose samples are ramps, so that each has its own."""

    def __init__(self, infos: Sequence[ClipInfo]) -> None:
        self._infos = infos

    def infos(self) -> Iterator[ClipInfo]:
        yield from self._infos

    def clips(self, clip_ids: Collection[str] | None = None) -> Iterator[Clip]:
        for number, item in enumerate(self._infos, start=1):
            if clip_ids is None or item.clip_id in clip_ids:
                frames = int(item.duration_s * RATE_HZ)
                samples = np.linspace(-0.5, 0.5 / number, frames, dtype=np.float32)
                yield Clip(**asdict(item), samples=samples, sample_rate_hz=RATE_HZ)
