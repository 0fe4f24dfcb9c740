"""Recordings, good ones and every way of bad."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import soundfile

RATE_HZ = 8_000
# Of the broken recordings, those that can be heard after all.
USABLE = frozenset(
    {
        "claims-2g.wav",
        "claims-4g.wav",
        "huge-floats.wav",
        "nan.wav",
        "one-frame.wav",
        "silence.wav",
    }
)


def tone(seconds: float = 1.0, level: float = 0.3, channels: int = 1) -> np.ndarray:
    """(n, channels): a tone on every channel."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = (level * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    return np.repeat(wave[:, None], channels, axis=1)


def encoded(samples: np.ndarray, form: str = "WAV", subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format=form, subtype=subtype)
    return file.getvalue()


def good(channels: int = 1, seconds: float = 1.0) -> bytes:
    return encoded(tone(seconds, channels=channels))


def header(
    channels: int = 1, rate_hz: int = RATE_HZ, data_bytes: int = 16_000, body: bytes = b""
) -> bytes:
    """A wav of 16 bits whose header says what it likes."""
    form = struct.pack(
        "<HHIIHH", 1, channels, rate_hz, (rate_hz * channels * 2) % 2**32, channels * 2 % 2**16, 16
    )
    return (
        b"RIFF" + struct.pack("<I", (36 + data_bytes) % 2**32) + b"WAVEfmt " + struct.pack("<I", 16)
        + form + b"data" + struct.pack("<I", data_bytes % 2**32) + body
    )  # fmt: skip


def broken() -> dict[str, bytes]:
    """By what is wrong with it."""
    wav, ogg = good(), encoded(tone(), "OGG")
    mp3, flac = encoded(tone(), "MP3"), encoded(tone(), "FLAC")
    nan = tone()
    nan[100:200] = np.nan
    all_nan, huge = np.full_like(nan, np.nan), tone() * 1e30
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("call.wav", wav)
    rng = np.random.default_rng(0)
    return {
        "empty.wav": b"",
        "one-byte.wav": b"R",
        "riff-only.wav": wav[:12],
        "header-only.wav": wav[:44],
        "truncated.wav": wav[: len(wav) // 3],
        "truncated.ogg": ogg[: len(ogg) // 2],
        "first-page.ogg": ogg[:100],
        "truncated.mp3": mp3[: len(mp3) // 2],
        "truncated.flac": flac[: len(flac) // 2],
        "corrupt.flac": flac[:200] + bytes(200) + flac[400:],
        "corrupt.ogg": ogg[:300] + rng.bytes(400) + ogg[700:],
        "no-channels.wav": header(channels=0, body=bytes(16_000)),
        "many-channels.wav": header(channels=65_535, body=bytes(16_000)),
        "rate-0.wav": header(rate_hz=0, body=bytes(16_000)),
        "rate-1.wav": header(rate_hz=1, body=bytes(16_000)),
        "rate-4g.wav": header(rate_hz=2**32 - 1, body=bytes(16_000)),
        "claims-2g.wav": header(data_bytes=2**31, body=bytes(16_000)),
        "claims-4g.wav": header(data_bytes=2**32 - 1, body=bytes(16_000)),
        "open-length.wav": header(data_bytes=0, body=bytes(16_000)),
        "nan.wav": encoded(nan, subtype="FLOAT"),
        "all-nan.wav": encoded(all_nan, subtype="FLOAT"),
        "huge-floats.wav": encoded(huge, subtype="DOUBLE"),
        "silence.wav": encoded(np.zeros((RATE_HZ, 1), np.float32)),
        "no-frames.wav": encoded(np.zeros((0, 1), np.float32)),
        "one-frame.wav": encoded(tone()[:1]),
        "page.wav": b"<!DOCTYPE html><html><body>404</body></html>",
        "archive.wav": archive.getvalue(),
        "noise.wav": rng.bytes(4_000),
        "noise-with-head.ogg": b"OggS" + rng.bytes(4_000),
        "id3.mp3": b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + rng.bytes(1_000),
        "long.wav": encoded(np.zeros((70 * RATE_HZ, 1), np.float32), subtype="ULAW"),
    }
