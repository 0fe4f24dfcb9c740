"""What batches of unlike clips cost a processor.

    python -m benchmarks.judge_padding --config configs/demo.yaml

Clips of the corpus come in groups, as requests that arrive together, and a group is judged in
batches whose padding is at most a share of their audio (persona_ray/inference/judge.py: PADDING).
Shares take turns; shown are the medians of processor time for a clip on one thread.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from benchmarks.shared import arguments
from persona_ray.config import load_config
from persona_ray.inference.clips import ClipInput
from persona_ray.inference.judge import Judge, seconds

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

CLIPS, ROUNDS = 16, 4
SHARES = (0.05, 0.1, 0.2, 0.35, math.inf)


def some_clips(config: RunConfig) -> list[ClipInput]:
    from persona_ray.corpus.dataset import CorpusDataset

    dataset = CorpusDataset.open(config.corpus_dir)
    infos = list(dataset.infos())
    rate_hz = dataset.sample_rate_hz
    return [
        ClipInput(dataset.samples(info.clip_id), rate_hz, info.text)
        for info in infos[:: max(1, len(infos) // CLIPS)][:CLIPS]
    ]


def batches(clips: Sequence[ClipInput], group: int, share: float) -> list[list[ClipInput]]:
    found = []
    for start in range(0, len(clips), group):
        batch: list[ClipInput] = []
        for clip in sorted(clips[start : start + group], key=seconds):
            sound_s = sum(map(seconds, batch)) + seconds(clip)
            if batch and seconds(clip) * (len(batch) + 1) > (1 + share) * sound_s:
                found.append(batch)
                batch = []
            batch.append(clip)
        found.append(batch)
    return found


def spent_ms(judge: Judge, some: Sequence[Sequence[ClipInput]]) -> float:
    """Processor time for a clip."""
    used = time.process_time()
    for batch in some:
        speech = judge.speech_vectors(batch) if judge.hears else ()
        text = judge.text_vectors([clip.text or "" for clip in batch]) if judge.reads else ()
        judge.probabilities(speech, text)
    return 1000 * (time.process_time() - used) / sum(map(len, some))


def main() -> None:
    import torch

    chosen = arguments(__doc__).parse_args()
    config = load_config(chosen.config, chosen.overrides)
    torch.set_num_threads(1)
    judge = Judge.load(config.bundle_dir, config.audio.min_level_db, "cpu")
    clips = some_clips(config)
    plans = {"each alone": batches(clips, 1, 0.0)}
    for group in (CLIPS // 2, CLIPS):
        for share in SHARES:
            named = "any padding" if share == math.inf else f"padding up to {share:.0%}"
            plans[f"groups of {group}, {named}"] = batches(clips, group, share)
    spent_ms(judge, plans["each alone"])
    found: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(ROUNDS):
        for name, some in plans.items():
            found[name].append(spent_ms(judge, some))
    for name, values in found.items():
        sizes = [len(batch) for batch in plans[name]]
        print(f"  {name:<34}{statistics.median(values):7.1f} ms a clip, batches of {sizes}")


if __name__ == "__main__":
    main()
