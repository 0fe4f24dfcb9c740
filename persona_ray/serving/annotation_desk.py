"""Clips for annotators and what they say of them: the corpus and the store, behind the routes.

What is written is what `persona-ray annotate import` would have written. Annotations of others
(another replica, an import) are read anew after a while; one's own count at once.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.corpus.annotation.labels import parse_label
from persona_ray.corpus.annotation.matching import ClipIndex
from persona_ray.corpus.annotation.resolve import Resolution, check_labels, resolve_votes
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import read_manifest
from persona_ray.inference.clips import ClipInput
from persona_ray.store import Annotation

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.store import Store
    from persona_ray.types import ClipInfo

# What an annotation made on the page names as its source.
SOURCE = "page"
# Annotations are read anew after so many seconds, and so seldom that it costs a twentieth of them.
_REREAD_S, _SHARE = 5.0, 20.0
# What all clips are settled on is found anew after each label where that is quicker than this.
_QUICK_S = 0.3


@dataclass(frozen=True, slots=True)
class _Settled:
    """A resolution, when it was found and what that cost."""

    resolution: Resolution
    found_at: float
    found_s: float


@dataclass(frozen=True, slots=True)
class _Board:
    """A corpus and its annotations, by clip and annotator, as they were read last."""

    dataset: CorpusDataset
    infos: dict[str, ClipInfo]
    index: ClipIndex
    votes: dict[str, dict[str, Annotation]]
    unmatched: tuple[Annotation, ...]
    read_at: float
    read_s: float


class AnnotationDesk:
    """Safe to use from several threads. Raises CorpusError where there is no corpus yet."""

    def __init__(self, config: RunConfig, store: Store) -> None:
        self._config = config
        self._store = store
        self._lock = threading.RLock()
        self._board: _Board | None = None
        self._settled: _Settled | None = None
        self._changed = True
        # Of clips labelled here: what the annotator had said of them, for a span, before.
        self._behind: dict[tuple[str, str], Annotation | None] = {}

    def resolution(self) -> Resolution:
        """What clips are settled on, and how far annotators agree; of a large corpus a little
        behind."""
        with self._lock:
            board, settled = self._fresh(), self._settled
            if settled is not None and not (self._changed and _due(settled)):
                return settled.resolution
            begun = time.monotonic()
            votes = {
                clip_id: {name: item.label for name, item in by_annotator.items()}
                for clip_id, by_annotator in board.votes.items()
            }
            found = resolve_votes(votes, len(board.index), board.unmatched, self._config.annotation)
            now = time.monotonic()
            self._settled, self._changed = _Settled(found, now, now - begun), False
            return found

    def clips(self) -> int:
        with self._lock:
            return len(self._fresh().infos)

    def fingerprint(self) -> str:
        """Of the corpus."""
        with self._lock:
            return self._fresh().dataset.fingerprint

    def done(self, annotator: str) -> list[tuple[ClipInfo, Annotation]]:
        """What `annotator` said, the last first."""
        with self._lock:
            board = self._fresh()
            found = [
                (board.infos[clip_id], by_annotator[annotator])
                for clip_id, by_annotator in board.votes.items()
                if annotator in by_annotator
            ]
        return sorted(found, key=lambda pair: pair[1].sort_time, reverse=True)

    def todo(self, annotator: str) -> list[ClipInfo]:
        """Clips that `annotator` has not labelled, in the order of the corpus."""
        with self._lock:
            board = self._fresh()
            return [
                info
                for clip_id, info in board.infos.items()
                if annotator not in board.votes.get(clip_id, {})
            ]

    def conflicts(self) -> list[ClipInfo]:
        """Clips that annotators do not settle on."""
        with self._lock:
            infos = self._fresh().infos
            return [infos[conflict.clip_id] for conflict in self.resolution().conflicts]

    def votes(self, clip_id: str) -> dict[str, str]:
        """Labels by annotator."""
        with self._lock:
            votes = self._fresh().votes.get(clip_id, {})
            return {name: item.label for name, item in votes.items()}

    def label(self, clip_id: str, annotator: str, label: str, note: str = "") -> Annotation:
        """Save what `annotator` says of a clip; the last word stands. AnnotationError for a label
        that is not configured, KeyError for a clip that is not there."""
        with self._lock:
            board = self._fresh()
            info = board.infos[clip_id]
            item = board.index.complete(
                Annotation(
                    annotator=annotator,
                    label=parse_label(label, self._config.annotation),
                    clip_id=info.clip_id,
                    note=note,
                    source=SOURCE,
                    created_at=datetime.now(UTC),
                )
            )
            self._store.annotations.save([item])
            votes = board.votes.setdefault(clip_id, {})
            former = votes.get(annotator)
            if former is None or former.target != item.target:
                self._behind[clip_id, annotator] = former
            votes[annotator] = item
            self._changed = True
            return item

    def withdraw(self, clip_id: str, annotator: str) -> bool:
        """Take back what `annotator` said of a clip by name; whether there was anything. What was
        imported for a span of its call stands. KeyError for a clip that is not there."""
        with self._lock:
            board = self._fresh()
            info = board.infos[clip_id]
            target = Annotation(annotator=annotator, label="", clip_id=info.clip_id).target
            withdrawn = self._store.annotations.withdraw(target, annotator)
            if (clip_id, annotator) not in self._behind:
                self._read()
                return withdrawn
            former = self._behind.pop((clip_id, annotator))
            votes = board.votes.setdefault(clip_id, {})
            votes.pop(annotator, None)
            if former is not None:
                votes[annotator] = former
            if not votes:
                del board.votes[clip_id]
            self._changed = True
            return withdrawn

    def inputs(self, clip_ids: Sequence[str]) -> list[ClipInput]:
        """Clips with sound and text, as a model is fed with them."""
        with self._lock:
            board = self._fresh()
        return [
            ClipInput(
                board.dataset.samples(clip_id),
                board.dataset.sample_rate_hz,
                board.infos[clip_id].text,
            )
            for clip_id in clip_ids
        ]

    def wav(self, clip_id: str) -> bytes:
        """A clip's sound as 16-bit WAV; KeyError for a clip that is not there."""
        import soundfile

        with self._lock:
            board = self._fresh()
        dataset, known = board.dataset, board.infos[clip_id].clip_id
        samples, buffer = dataset.samples(known), io.BytesIO()
        soundfile.write(
            buffer, np.clip(samples, -1, 1), dataset.sample_rate_hz, format="WAV", subtype="PCM_16"
        )
        return buffer.getvalue()

    def _fresh(self) -> _Board:
        board = self._board
        if board is None:
            return self._read()
        age_s = time.monotonic() - board.read_at
        return self._read() if age_s > max(_REREAD_S, _SHARE * board.read_s) else board

    def _read(self) -> _Board:
        begun = time.monotonic()
        folder, board = self._config.corpus_dir, self._board
        if board is None or read_manifest(folder).fingerprint != board.dataset.fingerprint:
            dataset = CorpusDataset.open(folder)
            # Times of words are most of what the table of clips takes, and nobody here needs them.
            infos = {info.clip_id: replace(info, words=()) for info in dataset.infos()}
            index = ClipIndex(infos.values())
        else:
            dataset, infos, index = board.dataset, board.infos, board.index
        annotations = list(self._store.annotations.all())
        check_labels(annotations, self._config.annotation)
        matched = index.match_all(annotations, self._config.annotation.min_overlap)
        votes = {clip_id: dict(by) for clip_id, by in matched.by_clip.items()}
        now = time.monotonic()
        self._changed = True
        self._board = _Board(dataset, infos, index, votes, matched.unmatched, now, now - begun)
        return self._board


def _due(settled: _Settled) -> bool:
    age_s = time.monotonic() - settled.found_at
    return settled.found_s < _QUICK_S or age_s > _SHARE * settled.found_s


def spread(infos: Sequence[ClipInfo], most: int) -> list[ClipInfo]:
    """At most `most` of them, evenly from the whole corpus."""
    if len(infos) <= most:
        return list(infos)
    return [infos[number * len(infos) // most] for number in range(most)]
