"""What a bundle is told to have been trained on, for drift."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from persona_ray.audio.sound import sound_of
from persona_ray.types import CallStatus, Split
from persona_ray.watch.reference import Shares, TrainingReference

if TYPE_CHECKING:
    from persona_ray.launch.labelled import LabelledCorpus

# Deciles of so many clips are sure to a point or two; reading them takes a second.
_MOST_CLIPS = 1000
_QUARANTINED = "quarantined_"


def training_reference(data: LabelledCorpus) -> TrainingReference:
    """Labels of all clips of the train split, at least one, and how some of them sound: the same
    ones each time."""
    train = data.of(Split.TRAIN)
    by_hash = sorted(train, key=lambda one: hashlib.sha256(one.clip_id.encode()).digest())
    chosen = {one.clip_id for one in by_hash[:_MOST_CLIPS]}
    sounds, rates = [], []
    for clip in data.dataset.clips(chosen):
        sounds.append(sound_of(clip.samples, clip.sample_rate_hz))
        rates.append(len(clip.text) / max(clip.duration_s, 1e-3))
    labels = Counter(one.label for one in train)
    return TrainingReference(
        sentences=len(sounds),
        colours=_shares(labels),
        outcomes=_shares(outcomes(data.dataset.manifest.counts)),
        level_dbfs=Shares.of([sound.level_dbfs for sound in sounds]),
        silence=Shares.of([sound.silence for sound in sounds]),
        clipping=Shares.of([sound.clipping for sound in sounds]),
        characters_per_s=Shares.of(rates),
    )


def outcomes(counts: Mapping[str, int]) -> dict[str, int]:
    """What became of the calls, from a manifest's counts: ok, nothing_usable, or why they were set
    aside."""
    found = {
        status.value: counts.get(f"calls_{status.value}", 0)
        for status in (CallStatus.OK, CallStatus.NOTHING_USABLE)
    }
    aside = {
        name.removeprefix(_QUARANTINED): count
        for name, count in counts.items()
        if name.startswith(_QUARANTINED)
    }
    return found | dict(sorted(aside.items()))


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    """None where nothing was counted: a corpus of another make need not tell of its calls."""
    total = sum(counts.values())
    if not total:
        return {}
    return {name: round(count / total, 6) for name, count in sorted(counts.items())}
