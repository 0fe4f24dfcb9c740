"""Clips of tones whose pitch changes: units that neighbours tell."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from persona_ray.config import RunConfig
from persona_ray.types import ClipInfo

if TYPE_CHECKING:
    from persona_ray.types import Samples

RATE_HZ = 8000
SMALL = {"hidden_size": 16, "layers": 2, "heads": 2, "conv_channels": 24}

# Of a checkpoint: what is drawn at random in training is left out.
QUIET = {
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "feat_proj_dropout": 0.0,
}


@dataclass(frozen=True)
class Melodies:
    """Audio made from the clip's name, `melody-<number>-<ms>`, so that it can be sent anywhere."""

    sample_rate_hz: int = RATE_HZ

    def digest(self, clip_id: str) -> str:
        return f"{self.sample_rate_hz} {clip_id}"

    def samples(self, clip_id: str) -> Samples:
        name, number, duration_ms = clip_id.split("-")
        if name != "melody":
            raise KeyError(f"no clip {clip_id}")
        rng = np.random.default_rng(int(number))
        length = int(duration_ms) * RATE_HZ // 1000
        notes = rng.choice([150.0, 400.0, 900.0, 2000.0], length // 1600 + 1)
        phase = 2 * np.pi * np.cumsum(np.repeat(notes, 1600)[:length]) / RATE_HZ
        return np.asarray(0.2 * np.sin(phase) + 0.01 * rng.standard_normal(length), np.float32)


def clip_infos(durations_ms: Sequence[int]) -> list[ClipInfo]:
    return [
        ClipInfo(
            clip_id=f"melody-{number}-{duration_ms}",
            call_id="call",
            customer_id=f"customer-{number}",
            channel=1,
            start_s=0.0,
            end_s=duration_ms / 1000,
            text="",
        )
        for number, duration_ms in enumerate(durations_ms)
    ]


def fingerprint(infos: Sequence[ClipInfo]) -> str:
    return hashlib.sha256("".join(info.clip_id for info in infos).encode()).hexdigest()


def run_config(folder: Path, backend: str = "plain", **speech: Any) -> RunConfig:
    return RunConfig.model_validate(
        {
            "workspace": folder,
            "launch": {"backend": backend, "workers": 2, "cpus_per_worker": 1},
            "model": {"speech": {"small": SMALL}},
            "pretraining": {
                "speech": {
                    "iterations": [{"features": "mfcc", "clusters": 6}],
                    "projection": 8,
                    **speech,
                }
            },
        }
    )
