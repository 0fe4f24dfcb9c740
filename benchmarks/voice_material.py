"""What voiceprints are tried on: human voices and the demo archive's, as pieces of speech."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from persona_ray.audio.decode import read_audio
from persona_ray.audio.g711 import decode_mulaw, encode_mulaw
from persona_ray.audio.resample import resample
from persona_ray.inference.screening.records import Channel
from persona_ray.inference.screening.voiceprint import Voiceprinter

_PHONE_HZ = 8000
_WINDOWS = 4
# Speech that a voice is enrolled from, at least.
_ENROLLED_S = 3.0
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """Speech of one person without silence; a voice is not tried against its own recording."""

    speaker: str
    name: str
    speech: Sound
    rate_hz: int

    @property
    def is_long(self) -> bool:
        """Long enough to enrol a voice from."""
        return len(self.speech) >= _ENROLLED_S * self.rate_hz


@dataclass(frozen=True)
class Trials:
    """Every voice (v) against every test (t): `cosines` (t, v), and whether they are of one person,
    of two, or of one recording (neither)."""

    voices: tuple[str, ...]
    tests: tuple[str, ...]
    own: NDArray[np.bool_]
    enrolled: Sound
    heard: Sound

    @cached_property
    def cosines(self) -> Sound:
        return self.heard @ self.enrolled.T

    @cached_property
    def same(self) -> NDArray[np.bool_]:
        return self._one_person & ~self.own

    @cached_property
    def other(self) -> NDArray[np.bool_]:
        return ~self._one_person

    @property
    def _one_person(self) -> NDArray[np.bool_]:
        one: NDArray[np.bool_] = np.array(self.tests)[:, None] == np.array(self.voices)[None]
        return one


def trials(
    clips: Sequence[Clip], seconds: float, printer: Voiceprinter, of_s: float = 0.0
) -> Trials:
    """Each clip as a voice, against up to four pieces of each clip; `of_s`: against what is said
    first in pieces of this length."""
    kept = [clip for clip in clips if clip.is_long]
    tests = [
        (clip, piece[: round(seconds * clip.rate_hz)])
        for clip in kept
        for piece in pieces(clip, max(seconds, of_s))
    ]
    return Trials(
        voices=tuple(clip.speaker for clip in kept),
        tests=tuple(clip.speaker for clip, _ in tests),
        own=np.array([[a is b for b in kept] for a, _ in tests]),
        enrolled=np.stack([print_of(clip.speech, clip.rate_hz, printer) for clip in kept]),
        heard=np.stack([print_of(piece, clip.rate_hz, printer) for clip, piece in tests]),
    )


def pieces(clip: Clip, seconds: float, most: int = _WINDOWS) -> Iterator[Sound]:
    """Up to `most` pieces of a clip, one behind the other."""
    width = round(seconds * clip.rate_hz)
    for index in range(min(most, len(clip.speech) // width)):
        yield clip.speech[index * width : (index + 1) * width]


_PRINTS: dict[bytes, Sound] = {}


def print_of(speech: Sound, rate_hz: int, printer: Voiceprinter) -> Sound:
    """The voiceprint of a piece of speech; made once."""
    key = speech.tobytes()
    if key not in _PRINTS:
        encoder = printer.encoder
        _PRINTS[key] = encoder.print_of(resample(speech, rate_hz, encoder.rate_hz))
    return _PRINTS[key]


def people(folder: Path, printer: Voiceprinter, channel: Channel) -> list[Clip]:
    """From a folder with one folder of clips for each person."""
    return [
        _clip(path.parent.name, path, printer, channel) for path in sorted(folder.glob("*/*.flac"))
    ]


def single_clips(folder: Path | None, printer: Voiceprinter, channel: Channel) -> list[Clip]:
    """From a folder with one clip for each person; none without a folder."""
    paths = [] if folder is None else sorted(folder.glob("*.flac"))
    return [_clip(path.stem, path, printer, channel) for path in paths]


def customers(archive: Path, printer: Voiceprinter, odd: bool) -> list[Clip]:
    """One clip for each usable call of the customers with odd or even numbers: their channel at
    8 kHz mu-law."""
    clips = []
    for line in (archive / "truth" / "calls.jsonl").read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        path = next((archive / "audio").glob(f"*/{call['call_id']}.*"), None)
        if path is None or call["expected"] != "ok" or int(call["customer_id"][1:]) % 2 != odd:
            continue
        audio = read_audio(path.name, str(path.parent))
        samples = audio.samples[call["true_customer_channel"]]
        sound, rate_hz = _on(Channel.TELEPHONE, samples, audio.sample_rate_hz)
        speech = printer.speech(sound, rate_hz)
        clips.append(Clip(call["customer_id"], call["call_id"], speech, rate_hz))
    return clips


def _clip(speaker: str, path: Path, printer: Voiceprinter, channel: Channel) -> Clip:
    audio = read_audio(path.name, str(path.parent))
    samples, rate_hz = _on(channel, audio.samples[0], audio.sample_rate_hz)
    return Clip(speaker, path.stem, printer.speech(samples, rate_hz), rate_hz)


def _on(channel: Channel, samples: Sound, rate_hz: int) -> tuple[Sound, int]:
    if channel is not Channel.TELEPHONE:
        return samples, rate_hz
    return decode_mulaw(encode_mulaw(resample(samples, rate_hz, _PHONE_HZ))), _PHONE_HZ
