"""Which clip an annotation belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from persona_ray.store import Annotation
from persona_ray.types import ClipInfo


class _Clip(NamedTuple):
    clip_id: str
    call_id: str
    customer_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Match:
    """`overlap` is intersection over union of the times; 1 where the annotation names the clip."""

    clip_id: str
    overlap: float


@dataclass(frozen=True, slots=True)
class Matched:
    """Annotations by clip and annotator, and those that belong to no clip of the corpus."""

    by_clip: Mapping[str, Mapping[str, Annotation]]
    unmatched: tuple[Annotation, ...]


class ClipIndex:
    """Clips by id and by call. Keeps their times, not their texts."""

    def __init__(self, infos: Iterable[ClipInfo]) -> None:
        self._clips: dict[str, _Clip] = {}
        self._calls: dict[str, list[_Clip]] = {}
        for info in infos:
            clip = _Clip(info.clip_id, info.call_id, info.customer_id, info.start_s, info.end_s)
            self._clips[clip.clip_id] = clip
            self._calls.setdefault(clip.call_id, []).append(clip)

    def __len__(self) -> int:
        return len(self._clips)

    @property
    def customer_of_call(self) -> dict[str, str]:
        return {call_id: clips[0].customer_id for call_id, clips in self._calls.items()}

    def match(self, annotation: Annotation, min_overlap: float) -> Match | None:
        """The clip that is named or, else, overlaps the annotated span most; None below the bound.

        A named clip that the corpus no longer has is looked for by its times.
        """
        if annotation.clip_id is not None and annotation.clip_id in self._clips:
            return Match(annotation.clip_id, 1.0)
        if annotation.span is None:
            return None
        call_id, start_s, end_s = annotation.span
        candidates = [
            (overlap(start_s, end_s, clip.start_s, clip.end_s), clip.clip_id)
            for clip in self._calls.get(call_id, ())
        ]
        best, clip_id = max(candidates, default=(0.0, ""))
        return Match(clip_id, best) if best >= min_overlap else None

    def match_all(self, annotations: Iterable[Annotation], min_overlap: float) -> Matched:
        """Match every annotation; one stays for each clip and annotator.

        Where one annotator has several on a clip (named once, and again by times), the latest
        counts; of those made at the same time, the one that overlaps the clip most.
        """
        best: dict[str, dict[str, tuple[datetime, float, str, Annotation]]] = {}
        unmatched: list[Annotation] = []
        for item in annotations:
            match = self.match(item, min_overlap)
            if match is None:
                unmatched.append(item)
                continue
            # The target decides last, so that the order of the store does not.
            ranked = (item.sort_time, match.overlap, item.target, item)
            clip = best.setdefault(match.clip_id, {})
            if item.annotator not in clip or ranked[:3] > clip[item.annotator][:3]:
                clip[item.annotator] = ranked
        by_clip = {
            clip_id: {name: clip[name][3] for name in sorted(clip)}
            for clip_id, clip in best.items()
        }
        return Matched(by_clip, tuple(unmatched))

    def complete(self, annotation: Annotation) -> Annotation:
        """The annotation with what the corpus knows of its clip: call, customer and times."""
        clip = self._clips.get(annotation.clip_id or "")
        if clip is not None:
            return replace(
                annotation,
                call_id=clip.call_id,
                customer_id=clip.customer_id,
                start_s=clip.start_s,
                end_s=clip.end_s,
            )
        clips = self._calls.get(annotation.call_id or "")
        return replace(annotation, customer_id=clips[0].customer_id) if clips else annotation


def overlap(start_s: float, end_s: float, other_start_s: float, other_end_s: float) -> float:
    """Intersection over union of two spans, in [0, 1]."""
    common = min(end_s, other_end_s) - max(start_s, other_start_s)
    union = max(end_s, other_end_s) - min(start_s, other_start_s)
    return max(0.0, common / union) if union > 0 else 0.0
