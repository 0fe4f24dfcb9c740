"""Human Mandarin as telephone calls, with what was said."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from persona_ray.asr.text import normalise
from persona_ray.audio.decode import decode_bytes, read_audio
from persona_ray.audio.resample import resample

RATE_HZ = 8000


@dataclass(frozen=True)
class Sentence:
    """One read sentence: samples (n,) at 8 kHz."""

    samples: NDArray[np.float32]
    text: str


def sentences(folder: Path, count: int, *, mulaw: bool = False) -> list[Sentence]:
    """The first `count` of the sample, at 8 kHz, through a mu-law file where wanted."""
    lines = (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines()
    out = []
    for line in lines[:count]:
        name, _, text = line.split("\t")
        audio = read_audio(name, str(folder))
        samples = resample(audio.samples[0], audio.sample_rate_hz, RATE_HZ)
        if mulaw:
            buffer = io.BytesIO()
            soundfile.write(buffer, samples, RATE_HZ, format="WAV", subtype="ULAW")
            samples = np.ascontiguousarray(decode_bytes(buffer.getvalue(), name).samples[0])
        out.append(Sentence(samples, normalise(text)))
    return out


def one_channel(parts: list[Sentence], gap_s: float) -> tuple[NDArray[np.float32], str]:
    """Sentences one after the other with silence between: samples (n,), text."""
    silence = np.zeros(int(gap_s * RATE_HZ), np.float32)
    pieces = [silence]
    for part in parts:
        pieces += [part.samples, silence]
    return np.concatenate(pieces), "".join(part.text for part in parts)
