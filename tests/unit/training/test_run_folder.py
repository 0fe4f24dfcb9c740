"""Checkpoints in the folder of a run: whole or absent, in order, and only the newest."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.training.run_folder import KEPT, RunFolder


def fill(folder: Path) -> None:
    (folder / "weights").write_text("1")


def test_the_newest_are_kept_in_the_order_they_were_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    assert run.newest() is None
    written = []
    # Across the number of digits in a name.
    (run.path / "checkpoint-999998").mkdir(parents=True)
    for _ in range(3):
        written.append(run.next())
        run.write(written[-1], fill)
        assert run.newest() == written[-1]
    run.tidy()
    assert run.checkpoints() == written[-KEPT:]


def test_a_checkpoint_that_fails_to_be_written_leaves_nothing(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise OSError("no space left")

    run = RunFolder(tmp_path)
    with pytest.raises(OSError, match="no space"):
        run.write(run.next(), fail)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_half_written_is_no_checkpoint(tmp_path: Path) -> None:
    half = tmp_path / "writing-0123"
    half.mkdir()
    fill(half)
    run = RunFolder(tmp_path)
    assert run.newest() is None
    run.tidy()
    assert not half.exists()
