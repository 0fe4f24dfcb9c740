"""How clips are stored: 16-bit FLAC, lossless for what telephones deliver."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.errors import NotAudioError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.types import Samples

_SCALE = 32_768.0


def encode_flac(samples: Samples, rate_hz: int) -> bytes:
    """Samples (n,) in [-1, 1] -> FLAC bytes, rounded to 16 bits; what is beyond 1 is clipped."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, _integers(samples), rate_hz, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def decode_flac(data: bytes) -> tuple[Samples, int]:
    """FLAC bytes -> samples (n,), rate in Hz. Raises NotAudioError for anything else."""
    import soundfile

    try:
        integers, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as error:
        raise NotAudioError(f"{len(data)} bytes are no FLAC: {error}") from None
    return integers.astype(np.float32) / np.float32(_SCALE), int(rate_hz)


def as_stored(samples: Samples) -> Samples:
    """Samples (n,) as they come back from `encode_flac`, without the way there."""
    stored: Samples = _integers(samples).astype(np.float32) / np.float32(_SCALE)
    return stored


def _integers(samples: Samples) -> NDArray[np.int16]:
    # Rounded here: libsndfile scales float by 32767, so that 16-bit sources would not come back.
    integers: NDArray[np.int16] = np.clip(np.rint(samples * _SCALE), -_SCALE, _SCALE - 1).astype(
        np.int16
    )
    return integers
