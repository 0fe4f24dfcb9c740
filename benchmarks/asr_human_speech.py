"""Character error rate and speed of the configured recogniser on human Mandarin over the telephone.

    python -m benchmarks.asr_human_speech ../shared/data/aishell3 [--set asr.beam_size=3 ...]

FOLDER holds audio files and `transcripts.tsv` (file, speaker, text). Every variant is what a
caller's channel can look like at 8 kHz.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import jiwer
import numpy as np
import soundfile
from numpy.typing import NDArray

from benchmarks.shared import arguments
from persona_ray.asr.build import build_recognizer
from persona_ray.asr.script import has_traditional
from persona_ray.asr.text import normalise
from persona_ray.audio.channels import customer_track
from persona_ray.audio.decode import decode_bytes, read_audio
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import load_config
from persona_ray.types import CallRecord

RATE_HZ = 8000
Sound = NDArray[np.float32]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
    recognizer, vad = build_recognizer(config.asr), VoiceActivity(config.vad)
    sounds, texts = _read(chosen.folder)
    print(f"{recognizer.name}: {len(texts)} sentences, {sum(map(len, sounds)) / RATE_HZ:.0f} s")
    print(f"{'variant':34} {'CER':>6} {'seconds':>8} {'RTF':>6} {'of speech':>9}  traditional")
    for name, (files, references) in _variants(sounds, texts).items():
        hypotheses: list[str] = []
        audio_s = speech_s = 0.0
        begin = time.perf_counter()
        for data, channels in files:
            record = CallRecord(name, "", name, channels - 1, channels)
            track = customer_track(decode_bytes(data, name), record, config.archive, config.audio)
            spans = vad.speech(track.samples, track.sample_rate_hz)
            heard = recognizer.transcribe(track.samples, track.sample_rate_hz, spans)
            hypotheses.append(normalise(heard.text))
            audio_s += track.duration_s
            speech_s += sum(span.duration_s for span in spans)
        spent_s = time.perf_counter() - begin
        said = "".join(hypotheses)
        print(
            f"{name:34} {jiwer.cer(references, hypotheses):6.1%} {audio_s:8.0f} "
            f"{spent_s / audio_s:6.3f} {spent_s / speech_s:9.3f}  "
            f"{sum(map(has_traditional, said))}/{len(said)}",
            flush=True,
        )


def _read(folder: Path) -> tuple[list[Sound], list[str]]:
    sounds, texts = [], []
    for line in (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines():
        name, _, text = line.split("\t")
        audio = read_audio(name, str(folder))
        sounds.append(resample(audio.samples[0], audio.sample_rate_hz, RATE_HZ))
        texts.append(normalise(text))
    return sounds, texts


Files = list[tuple[bytes, int]]


def _variants(sounds: list[Sound], texts: list[str]) -> dict[str, tuple[Files, list[str]]]:
    """Name -> files (bytes, number of channels; the caller has the last one) and their texts."""
    rng = np.random.default_rng(0)
    other = np.concatenate(sounds[::-1])

    def mono(sound: Sound) -> Sound:
        return sound[:, None]

    def stereo(sound: Sound) -> Sound:
        agent = np.resize(np.roll(other, rng.integers(len(other))), len(sound))
        return np.stack([agent, sound], axis=1)

    def noisy(sound: Sound) -> Sound:
        noise = rng.standard_normal(len(sound)) * np.sqrt(np.mean(sound**2)) * 10 ** (-20 / 20)
        return (sound + noise.astype(np.float32))[:, None]

    def files(
        shape: Callable[[Sound], Sound], parts: list[Sound], coding: tuple[str, str]
    ) -> Files:
        shaped = [shape(part) for part in parts]
        return [(_encode(part, coding), part.shape[1]) for part in shaped]

    pcm, mulaw, opus = ("WAV", "PCM_16"), ("WAV", "ULAW"), ("OGG", "OPUS")
    calls, call_texts = _calls(sounds, texts, 3, 1.5)
    tight, tight_texts = _calls(sounds, texts, 3, 0.3)
    return {
        "8 kHz mono": (files(mono, sounds, pcm), texts),
        "8 kHz mu-law mono": (files(mono, sounds, mulaw), texts),
        "8 kHz mu-law, channel of stereo": (files(stereo, sounds, mulaw), texts),
        "8 kHz Opus, channel of stereo": (files(stereo, sounds, opus), texts),
        "8 kHz white noise 20 dB": (files(noisy, sounds, pcm), texts),
        "calls of 3, 1.5 s apart, mu-law": (files(stereo, calls, mulaw), call_texts),
        "calls of 3, 0.3 s apart, mu-law": (files(stereo, tight, mulaw), tight_texts),
    }


def _calls(
    sounds: list[Sound], texts: list[str], size: int, gap_s: float
) -> tuple[list[Sound], list[str]]:
    silence = np.zeros(int(gap_s * RATE_HZ), np.float32)
    calls, joined = [], []
    for start in range(0, len(sounds), size):
        pieces = [piece for sound in sounds[start : start + size] for piece in (silence, sound)]
        calls.append(np.concatenate([*pieces, silence]))
        joined.append("".join(texts[start : start + size]))
    return calls, joined


def _encode(sound: Sound, coding: tuple[str, str]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, RATE_HZ, format=coding[0], subtype=coding[1])
    return buffer.getvalue()


if __name__ == "__main__":
    main()
