"""How a recording sounds, as far as it tells of a changed line: level, near silence, clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from persona_ray.types import Samples

_FRAME_S = 0.02
_SILENT_DBFS = -50.0
# Of full scale: what a limiter or a coder leaves of clipped samples lies a little below it.
_CLIPPED = 0.99
_FLOOR_DBFS = -100.0


@dataclass(frozen=True, slots=True)
class Sound:
    """`level_dbfs`: root mean square, at least -100; `silence`: share of 20 ms frames below -50
    dBFS; `clipping`: share of samples at full scale."""

    level_dbfs: float
    silence: float
    clipping: float


def sound_of(samples: Samples, rate_hz: int) -> Sound:
    """Of samples (n,) in [-1, 1]; those that do not fill the last frame of 20 ms count for the
    level alone. Nothing at all is silence."""
    if not len(samples):
        return Sound(_FLOOR_DBFS, 1.0, 0.0)
    frame = max(1, round(rate_hz * _FRAME_S))
    whole = len(samples) // frame * frame or len(samples)
    power = np.square(samples[:whole].reshape(-1, min(frame, whole)), dtype=np.float32).mean(axis=1)
    return Sound(
        level_dbfs=max(_FLOOR_DBFS, _dbfs(float(np.square(samples, dtype=np.float32).mean()))),
        silence=float((power < 10 ** (_SILENT_DBFS / 10)).mean()),
        clipping=float((np.abs(samples) >= _CLIPPED).mean()),
    )


def _dbfs(power: float) -> float:
    return 10 * float(np.log10(power)) if power > 0 else _FLOOR_DBFS
