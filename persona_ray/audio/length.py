"""How long a recording claims to be, by its header alone."""

from __future__ import annotations

import io
from typing import IO

from persona_ray.audio.decode import Watched
from persona_ray.errors import TooLongError

# Headers that leave the length open claim ages.
_OPEN_S = 1e9


def check_length(data: bytes | IO[bytes], name: str, max_s: float) -> None:
    """Raises TooLongError where the header claims more than `max_s` seconds. What it does not say,
    decoding finds out."""
    import soundfile

    try:
        file = Watched(io.BytesIO(data) if isinstance(data, bytes) else data)
        with soundfile.SoundFile(file) as sound:
            seconds = sound.frames / max(1, sound.samplerate)
    except (soundfile.LibsndfileError, TypeError, RuntimeError):
        return
    if max_s < seconds < _OPEN_S:
        raise TooLongError(f"{name} lasts {seconds:.0f} s: more than the limit of {max_s:g} s")
