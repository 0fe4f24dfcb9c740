"""G.711, the coding of telephone lines: one byte a sample, mu-law or A-law."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

_SCALE = np.float32(32_768)
# Added before mu-law takes the logarithm, so that its segments begin at powers of two.
_MU_BIAS = 0x84


def decode_mulaw(data: bytes) -> Samples:
    """Bytes -> samples (n,) in [-1, 1]."""
    return _mulaw_table()[np.frombuffer(data, dtype=np.uint8)]


def decode_alaw(data: bytes) -> Samples:
    """Bytes -> samples (n,) in [-1, 1]."""
    return _alaw_table()[np.frombuffer(data, dtype=np.uint8)]


def encode_mulaw(samples: Samples) -> bytes:
    """Samples (n,) in [-1, 1] -> the nearest mu-law bytes."""
    return _nearest(_mulaw_table(), samples)


def encode_alaw(samples: Samples) -> bytes:
    """Samples (n,) in [-1, 1] -> the nearest A-law bytes."""
    return _nearest(_alaw_table(), samples)


def _nearest(table: NDArray[np.float32], samples: Samples) -> bytes:
    order = np.argsort(table, kind="stable")
    steps = table[order]
    edges = (steps[1:] + steps[:-1]) / 2
    return order[np.searchsorted(edges, samples)].astype(np.uint8).tobytes()


@cache
def _mulaw_table() -> NDArray[np.float32]:
    code = ~np.arange(256, dtype=np.uint8)
    mantissa, exponent = (code & 0x0F).astype(np.int32), (code >> 4) & 0x07
    size = (((mantissa << 3) + _MU_BIAS) << exponent) - _MU_BIAS
    return np.where(code & 0x80, -size, size).astype(np.float32) / _SCALE


@cache
def _alaw_table() -> NDArray[np.float32]:
    # Every other bit is turned over on the line; the sign bit is set for positive samples.
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    mantissa, exponent = (code & 0x0F).astype(np.int32), ((code >> 4) & 0x07).astype(np.int32)
    low = (mantissa << 4) + 8
    size = np.where(exponent == 0, low, (low + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, size, -size).astype(np.float32) / _SCALE
