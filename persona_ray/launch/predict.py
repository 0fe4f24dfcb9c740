"""A bundle's answer for clips of the corpus."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.progress import Progress
from persona_ray.types import Recognition

if TYPE_CHECKING:
    from persona_ray.corpus.dataset import CorpusDataset

# Clips held in memory at a time.
_CLIPS = 256


def predict_clips(
    config: RunConfig,
    dataset: CorpusDataset,
    progress: Progress,
    bundle: Path | None = None,
    clip_ids: Collection[str] | None = None,
) -> dict[str, Recognition]:
    """By clip id; clips that the bundle cannot judge are left out.

    `bundle` None: the workspace's; `clip_ids` None: every clip. Raises BundleError.
    """
    from persona_ray.inference.clips import ClipInput
    from persona_ray.inference.personality import PersonalityRecognizer

    recognizer = PersonalityRecognizer.load(bundle or config.bundle_dir, config)
    answers: dict[str, Recognition] = {}
    total = len(dataset) if clip_ids is None else len(clip_ids)
    with progress.stage("recognising clips", total=total) as stage:
        remaining = dataset.clips(clip_ids)
        while clips := list(islice(remaining, _CLIPS)):
            inputs = [ClipInput(clip.samples, clip.sample_rate_hz, clip.text) for clip in clips]
            for clip, answer in zip(clips, recognizer.clips(inputs), strict=True):
                if isinstance(answer.result, Recognition):
                    answers[clip.clip_id] = answer.result
            stage.advance(len(clips))
    return answers
