"""One tiny archive of tones, with every kind of dirt, shared by the tests of this room."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from persona_ray.synth.build import ArchiveSummary, build_archive
from persona_ray.synth.config import SynthConfig, tiny
from persona_ray.synth.truth import (
    TruthCall,
    TruthUtterance,
    read_calls,
    read_utterances,
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


@pytest.fixture(scope="session")
def speech_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, speech_cache: Path) -> Built:
    config = tiny().model_copy(update={"speech_cache": speech_cache})
    folder = tmp_path_factory.mktemp("archive")
    summary = build_archive(config, folder)
    return Built(folder, config, summary, read_calls(folder), read_utterances(folder))
