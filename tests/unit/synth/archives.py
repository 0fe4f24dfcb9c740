"""Archives small enough for tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persona_ray.synth.build import ArchiveSummary
from persona_ray.synth.config import DirtCounts, Engine, SynthConfig
from persona_ray.synth.truth import TruthCall, TruthUtterance


def tiny(speech_cache: Path, calls_per_customer: int = 2) -> SynthConfig:
    """Tones of eight people in seconds of work, with one call of every kind of dirt."""
    kinds = dict.fromkeys(DirtCounts.model_fields, 1) | {"truncated": 2}
    return SynthConfig(
        seed=7,
        customers_per_colour=2,
        calls_per_customer=calls_per_customer,
        agents=2,
        engine=Engine.TONE,
        speech_cache=speech_cache,
        workers=1,
        dirt=DirtCounts(**kinds),
    )


@dataclass(frozen=True)
class Built:
    """An archive on disk and what its truth says."""

    folder: Path
    config: SynthConfig
    summary: ArchiveSummary
    calls: list[TruthCall]
    utterances: list[TruthUtterance]

    def dirty(self, kind: str) -> list[TruthCall]:
        return [call for call in self.calls if kind in call.dirt]

    def of(self, call: TruthCall) -> list[TruthUtterance]:
        return [row for row in self.utterances if row.call_id == call.call_id]
