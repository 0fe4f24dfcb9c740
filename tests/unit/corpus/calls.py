"""Small stereo calls whose speech a real speech detector finds, with transcripts that fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import lfilter

from persona_ray.config import RunConfig
from tests.unit.corpus.business import call_row, fill, words_json

RATE_HZ = 8000
SENTENCES = (
    "我想问一下这个产品的收益怎么样",
    "你们上次说的那个活动还有没有",
    "那我再考虑一下明天给你们打电话",
    "麻烦你把合同的细节发给我看一看",
)
_FORMANTS_HZ = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480))
_BANDWIDTHS_HZ = (80, 90, 120)
_VOWEL_S = 0.2


def voice(duration_s: float, pitch_hz: float = 140.0) -> NDArray[np.float32]:
    """Vowels, one each 0.2 s: pulses through three formants. Samples (n,) at RATE_HZ."""
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    pitch = pitch_hz * (1 + 0.15 * np.sin(2 * np.pi * 0.9 * time_s))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE_HZ), prepend=0)
    out = np.zeros(len(pulses))
    step = round(_VOWEL_S * RATE_HZ)
    for number, start in enumerate(range(0, len(pulses), step)):
        part = pulses[start : start + step]
        formants = _FORMANTS_HZ[number % len(_FORMANTS_HZ)]
        for centre_hz, width_hz in zip(formants, _BANDWIDTHS_HZ, strict=True):
            r = np.exp(-np.pi * width_hz / RATE_HZ)
            part = lfilter(
                [1 - r], [1, -2 * r * np.cos(2 * np.pi * centre_hz / RATE_HZ), r * r], part
            )
        edge = np.minimum(np.arange(len(part)), np.arange(len(part))[::-1])
        out[start : start + step] = part * np.minimum(1, edge / (0.03 * RATE_HZ))
    return (0.3 * out / np.abs(out).max()).astype(np.float32)


def track(
    starts_s: Sequence[float], length_s: float, talk_s: float = 2.0, pitch_hz: float = 140.0
) -> NDArray[np.float32]:
    """Silence with `talk_s` of voice from each of `starts_s`."""
    samples = np.zeros(round(length_s * RATE_HZ), dtype=np.float32)
    for start_s in starts_s:
        first = round(start_s * RATE_HZ)
        samples[first : first + round(talk_s * RATE_HZ)] = voice(talk_s, pitch_hz)
    return samples


def write_call(
    path: Path, customer: NDArray[np.float32], agent: NDArray[np.float32] | None = None
) -> None:
    """WAV with the agent on channel 0 and the customer on channel 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    other = np.zeros_like(customer) if agent is None else agent
    soundfile.write(path, np.stack([other, customer], axis=1), RATE_HZ, subtype="PCM_16")


def words_at(text: str, start_s: float, talk_s: float = 2.0) -> list[tuple[str, float, float]]:
    """One word a character, evenly over `talk_s`."""
    each_s = talk_s / len(text)
    return [
        (character, start_s + number * each_s, start_s + (number + 1) * each_s)
        for number, character in enumerate(text)
    ]


def make_archive(
    folder: Path, calls: int, first: int = 0, url: str | None = None, broken: int = 5
) -> str:
    """A business database of `calls` calls with two sentences each and ready transcripts.

    Every `broken`-th call names a file that does not exist. The calls share four recordings.
    """
    for kind in range(4):
        path = folder / "audio" / f"{kind}.wav"
        if not path.exists():
            write_call(path, track([0.5, 3.5], 6.5, pitch_hz=120 + 40 * kind))
    rows, transcripts = [], []
    for number in range(first, first + calls):
        kind = number % 4
        call_id = f"call-{number:05d}"
        uri = "audio/absent.wav" if broken and number % broken == 4 else f"audio/{kind}.wav"
        rows.append(call_row(call_id, audio_uri=uri, duration_s=6.5))
        words = words_at(SENTENCES[kind], 0.5) + words_at(SENTENCES[kind - 1], 3.5)
        transcripts.append((call_id, 1, words_json(words)))
    url = url or f"sqlite:///{folder / 'business.sqlite'}"
    fill(url, rows, transcripts, customers=("customer-1",) if first == 0 else ())
    return url


def run_config(folder: Path, url: str, name: str = "run", **changes: Any) -> RunConfig:
    """A configuration for the archive in `folder` and the workspace `name`, with `changes`."""
    tree: dict[str, Any] = {
        "workspace": folder / name,
        "archive": {"url": url, "audio_root": str(folder), "page_size": 8},
        "corpus": {"clips_per_shard": 16},
        "launch": {"backend": "plain"},
    }
    for section, values in changes.items():
        tree[section] = {**tree[section], **values} if section in tree else values
    return RunConfig.model_validate(tree)
