"""What goes from deployment to deployment: a request's clips, heard, then judged.

Errors of one request go as values (`Failed`): Ray would wrap an exception at each hop and put its
traceback into the message. Every judged request is of one bundle; what was prepared for another
comes back as `Stale`, and is asked again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.inference.calls import Piece, Pieces
from persona_ray.inference.clips import ClipInput
from persona_ray.serving.service import ServedModel

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.errors import PersonaRayError
    from persona_ray.inference.judge import Vector
    from persona_ray.types import NothingUsable, Recognition


# Before the names of the deployments that hold the challenger's bundle.
CHALLENGER = "challenger_"


@dataclass(frozen=True, slots=True)
class BundleChoice:
    """Which bundle replicas load: `user_config` of their deployments, as a map of texts.

    `reference` names one version and no alias, which may move between two replicas' starts.
    `digest` is that of its bundle.json, `folder` where it lay when it was chosen: a replica on
    another machine finds it by its reference.
    """

    reference: str
    name: str
    version: str
    digest: str
    folder: str

    def to_dict(self) -> dict[str, str]:
        return dataclasses.asdict(self)


# The folder of a bundle on this machine.
FindBundle = Callable[["RunConfig", BundleChoice], Path]


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that ended in an error of its own."""

    error: PersonaRayError


@dataclass(frozen=True, slots=True)
class Stale:
    """A request that was prepared for another bundle than answers, or for two."""

    why: str


@dataclass(frozen=True, slots=True)
class Heard:
    """Clips with their text where `reads`, and where they lie in their call (of single clips: 0).

    `reason` says why there is none. Behind the towers the clips have no samples any more.
    """

    clips: tuple[ClipInput, ...]
    places: tuple[tuple[float, float], ...]
    reason: str
    flags: tuple[str, ...]
    reads: bool
    timings_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of_pieces(cls, found: Pieces, reads: bool, timings_s: Mapping[str, float]) -> Heard:
        """The sentences of a call."""
        clips = tuple(ClipInput(p.samples, p.sample_rate_hz, p.text) for p in found.pieces)
        places = tuple((piece.start_s, piece.end_s) for piece in found.pieces)
        return cls(clips, places, found.reason, found.flags, reads, timings_s)

    @classmethod
    def of_clips(
        cls, clips: tuple[ClipInput, ...], reads: bool, timings_s: Mapping[str, float]
    ) -> Heard:
        """Single clips."""
        return cls(clips, ((0.0, 0.0),) * len(clips), "", (), reads, timings_s)

    def without_samples(self) -> Heard:
        """What the next stage needs, without what is large."""
        silent = tuple(ClipInput(None, clip.sample_rate_hz, clip.text) for clip in self.clips)
        return dataclasses.replace(self, clips=silent)

    def pieces(self) -> Pieces:
        """The sentences of a call without their audio."""
        import numpy as np

        nothing = np.zeros(0, dtype=np.float32)
        pieces = tuple(
            Piece(start_s, end_s, clip.text, nothing, clip.sample_rate_hz)
            for clip, (start_s, end_s) in zip(self.clips, self.places, strict=True)
        )
        return Pieces(pieces, self.reason, self.flags)


@dataclass(frozen=True, slots=True)
class Vectors:
    """What one tower of the bundle `digest` says of each clip, or why it can say nothing."""

    heard: Heard
    rows: tuple[Vector | str, ...]
    digest: str
    timings_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Judged:
    """The results of a request's clips, in their order."""

    heard: Heard
    results: tuple[Recognition | NothingUsable, ...]
    model: ServedModel
    timings_s: Mapping[str, float]
