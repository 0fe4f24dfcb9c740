"""One tiny archive of tones, with every kind of dirt, shared by the tests of this room."""

from __future__ import annotations

import pytest

from persona_ray.synth.build import build_archive
from persona_ray.synth.truth import read_calls, read_utterances
from tests.unit.synth.archives import Built, tiny


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    config = tiny(tmp_path_factory.mktemp("speech"))
    folder = tmp_path_factory.mktemp("archive")
    summary = build_archive(config, folder)
    return Built(folder, config, summary, read_calls(folder), read_utterances(folder))
