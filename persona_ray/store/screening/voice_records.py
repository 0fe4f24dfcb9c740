"""What the voice libraries hand out and are given.

A voiceprint is kept as little-endian float16 of unit length.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

# Of one voice, the newest: a voice ages, and a talker should not fill the database.
KEPT_SAMPLES = 20


class VoiceState(StrEnum):
    """Of a voice: in the libraries, or waiting for an operator."""

    LISTED = "listed"
    SET_ASIDE = "set_aside"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceEntry:
    """A person's voice, made by engine `engine`. `near` is the listed voice that one set aside is
    near to."""

    voice_id: str
    engine: str
    voiceprint: bytes
    standing: str
    category: str
    origin: str
    state: VoiceState = VoiceState.LISTED
    near: str = ""
    expires_at: datetime | None = None

    def payload(self) -> dict[str, Any]:
        """What replicas and devices are told."""
        return {
            "standing": self.standing,
            "category": self.category,
            "origin": self.origin,
            "engine": self.engine,
            "voiceprint": base64.b64encode(self.voiceprint).decode(),
            "expires_at": None if self.expires_at is None else self.expires_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class VoiceSample:
    """What one call adds: the voiceprint of `speech_s` seconds of speech."""

    call_id: str
    voiceprint: bytes
    speech_s: float


@dataclass(frozen=True, slots=True)
class Marking:
    """What a call, a person or reports make of a voice."""

    standing: str
    category: str
    origin: str


def voice_key(user_id: str, call_id: str) -> str:
    """What the voice libraries know a call by: no name of a person."""
    return hashlib.sha256(f"{user_id}\0{call_id}".encode()).hexdigest()[:32]


def mean_print(samples: Sequence[VoiceSample]) -> bytes:
    """The voiceprint of several calls: their mean, weighted by seconds of speech, of unit length.
    At least one sample, all of one size."""
    import numpy as np

    vectors = np.stack([np.frombuffer(sample.voiceprint, "<f2") for sample in samples])
    weights = np.array([sample.speech_s for sample in samples], dtype=np.float64)
    total = weights @ vectors.astype(np.float64)
    return (total / np.linalg.norm(total)).astype("<f2").tobytes()
