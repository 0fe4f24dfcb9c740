"""The workspace's disk is full: each step says so in one line, and after room was made the same
command goes on, to the same end as with room from the start.

Runs on a disk in memory, which needs root.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from persona_ray.config.corpus import DEFAULT_QUERY
from persona_ray.corpus.dataset import CorpusDataset
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.drill

SIZE_MB = 48
STEP_S = 180
CUSTOMERS = 12
SMALL = {"hidden_size": 16, "layers": 2, "heads": 2}


@dataclass(frozen=True)
class Disk:
    """`folder` is all of it."""

    folder: Path

    def fill(self, left_kb: int) -> None:
        """Only so much is left."""
        with (self.folder / "filler").open("wb") as filler:
            while (room := self.room_kb() - left_kb) > 0:
                filler.write(b"0" * min(room * 1024, 1 << 20))
                filler.flush()

    def room_kb(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize // 1024

    def make_room(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "drill", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a disk in memory needs root, and the right to mount")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def step(workspace: Path, *command: str) -> subprocess.CompletedProcess[str]:
    archive = REPOSITORY / "demo" / "archive"
    some = f"{DEFAULT_QUERY} WHERE c.customer_id IN (SELECT customer_id FROM customers "
    some += f"ORDER BY customer_id LIMIT {CUSTOMERS})"
    settings = [
        f"workspace={workspace}",
        f"archive.url=sqlite:///{archive / 'business.sqlite'}",
        f"archive.audio_root={archive}",
        f"archive.query={json.dumps(some)}",
        "launch.backend=plain",
        "tracking.url=off",
        "model.speech.path=",
        f"model.speech.small={json.dumps({**SMALL, 'conv_channels': 18})}",
        f"model.text.small={json.dumps(SMALL)}",
        "pretraining.encoders=[]",
        "training.epochs=3",
        "training.frozen_epochs=1",
        "training.kept_frozen=[]",
    ]
    overrides = [part for setting in settings for part in ("--set", setting)]
    program = str(Path(sys.executable).with_name("persona-ray"))
    config = ["--config", str(REPOSITORY / "configs" / "demo.yaml")]
    return subprocess.run(
        [program, *command, *config, *overrides],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=STEP_S,
        check=False,
    )


def refused(disk: Disk, left_kb: int, *command: str) -> None:
    disk.fill(left_kb)
    done = step(disk.folder / "run", *command)
    said = done.stderr.strip().splitlines()[-1]
    print(f"\n{' '.join(command[:2])} with {left_kb} kB: {said}")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    assert said.startswith("error: "), done.stderr
    assert "free some" in said or "has room" in said
    disk.make_room()


def done(workspace: Path, *command: str) -> str:
    made = step(workspace, *command)
    assert made.returncode == 0, made.stderr
    return made.stdout


def clips(workspace: Path) -> list[str]:
    return [clip.clip_id for clip in CorpusDataset.open(workspace / "corpus").clips()]


def test_every_step_says_so_and_goes_on(disk: Disk, tmp_path: Path) -> None:
    roomy, tight = tmp_path / "roomy", disk.folder / "run"
    annotations = str(REPOSITORY / "demo/archive/annotations.csv")
    done(roomy, "corpus", "build")
    for left_kb in (64, 1500):
        refused(disk, left_kb, "corpus", "build")
    done(tight, "corpus", "build")
    assert clips(tight) == clips(roomy)
    done(tight, "annotate", "import", annotations)
    refused(disk, 200, "finetune")
    done(tight, "finetune")
    refused(disk, 8, "recognize-archive")
    done(tight, "recognize-archive")
