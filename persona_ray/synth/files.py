"""Recordings as files: the usual Ogg/Vorbis, other encodings, and files that are broken."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.audio.resample import resample
from persona_ray.synth.dialogue import CallPlan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from persona_ray.synth.mixing import MixedCall

# Vorbis at its lowest quality: about 18 kbit/s for both channels, which stay apart. Opus at that
# size lets 8 % of one channel's voice into the other; at 12 kbit/s both channels hold both voices.
_VORBIS_COMPRESSION = 1.0
_KEPT_SHARE = 0.6
_NO_AUDIO = (
    "<html><head><title>504 Gateway Time-out</title></head><body>"
    "The recording server did not answer in time.</body></html>\n"
)


def suffix(call: CallPlan, truncated_before: int) -> str:
    """The file name's ending. Truncated files are Ogg and WAV in turn."""
    if call.dirt == "truncated":
        return ("ogg", "wav")[truncated_before % 2]
    return {"mulaw_wav": "wav", "flac_16k": "flac", "mp3": "mp3"}.get(call.dirt or "", "ogg")


def write_recording(path: Path, call: CallPlan, mixed: MixedCall) -> None:
    """Writes the file of `call` as its dirt wants it; nothing for a missing file."""
    if call.dirt == "missing_file":
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if call.dirt == "empty_file":
        path.write_bytes(b"")
    elif call.dirt == "not_audio":
        path.write_text(_NO_AUDIO, encoding="utf-8")
    else:
        _encode(path, call, mixed)
    if call.dirt == "truncated":
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * _KEPT_SHARE)])


def _encode(path: Path, call: CallPlan, mixed: MixedCall) -> None:
    import soundfile

    samples, rate_hz = mixed.samples, mixed.rate_hz
    if call.dirt == "flac_16k":
        samples, rate_hz = _at_rate(samples, rate_hz, 16_000), 16_000
    if path.suffix == ".ogg":
        soundfile.write(
            path, samples, rate_hz, format="OGG", subtype="VORBIS",
            compression_level=_VORBIS_COMPRESSION,
        )  # fmt: skip
    elif path.suffix == ".mp3":
        soundfile.write(path, samples, rate_hz, format="MP3", subtype="MPEG_LAYER_III")
    elif path.suffix == ".flac":
        soundfile.write(path, samples, rate_hz, format="FLAC", subtype="PCM_16")
    else:
        soundfile.write(path, samples, rate_hz, format="WAV", subtype="ULAW")


def _at_rate(samples: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
    """(samples, channels) at another rate."""
    return resample(samples.T, from_hz, to_hz).T
