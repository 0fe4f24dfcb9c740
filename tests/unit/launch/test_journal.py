"""Notes of stages: replaced one by one, and never lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.config import RunConfig
from persona_ray.launch.journal import journalled, read_journal


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return RunConfig(workspace=tmp_path / "run")


def test_a_stage_that_is_done_again_replaces_its_note(config: RunConfig) -> None:
    assert read_journal(config) == {}
    for stage, clips in (("corpus build", 1.0), ("evaluate", 2.0), ("corpus build", 3.0)):
        with journalled(config, stage) as figures:
            figures["clips"] = clips
    found = read_journal(config)
    assert [(name, note["clips"]) for name, note in found.items()] == [
        ("evaluate", 2.0),
        ("corpus build", 3.0),
    ]
    assert all(note["wall_s"] >= 0 for note in found.values())


def test_a_stage_that_fails_leaves_no_note(config: RunConfig) -> None:
    with pytest.raises(RuntimeError), journalled(config, "corpus build"):
        raise RuntimeError
    assert read_journal(config) == {}


def test_a_kill_while_a_note_is_written_costs_no_other(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with journalled(config, "corpus build"):
        pass
    before = read_journal(config)

    def killed(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt), journalled(config, "evaluate"):
            pass
    assert read_journal(config) == before
