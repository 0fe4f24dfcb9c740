"""A fine-tuning run that lasts long enough to be killed, once its encoders are trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.training.finetune.history import History
from persona_ray.types import Split
from tests.drills.runs import Run, drive
from tests.unit.training.toys import (
    LABELS,
    QuietJob,
    Tones,
    examples,
    model_config,
    training_config,
)

if TYPE_CHECKING:
    from persona_ray.types import Samples

CLIP_S = 0.03
EPOCHS, FROZEN = 8, 3
MODULE = "tests.drills.slow_finetune"
# Sums in another order, carried on by Adam.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class SlowTones(Tones):
    """The same audio, but each clip takes `CLIP_S`."""

    def samples(self, clip_id: str) -> Samples:
        time.sleep(CLIP_S)
        return super().samples(clip_id)


def job(source: Tones, engine: EngineConfig) -> TrainingJob:
    config = training_config(EPOCHS, FROZEN).model_copy(
        update={"batch_s": 4.0, "micro_batch_s": 2.0, "checkpoint_updates": 4}
    )
    return QuietJob(
        model=model_config(),
        training=config,
        labels=LABELS,
        train=tuple(examples(60)),
        dev=tuple(examples(9, Split.DEV, first=60)),
        source=source,
        engine=engine,
    )


def train(folder: Path, launch: LaunchConfig, tell: Callable[[int], None]) -> object:
    from persona_ray.launch.finetune_run import fit_on_ray

    engine = EngineConfig(kind="deepspeed", zero_stage=2)
    work = job(SlowTones(), engine)
    return fit_on_ray(work, launch, folder, lambda result: tell(result.epoch)).history.as_json()


def alone(folder: Path) -> History:
    """The undisturbed run: in one process, without Ray, without DeepSpeed."""
    from persona_ray.launch.finetune_run import fit_plain

    launch = LaunchConfig(cpus_per_worker=1)
    return fit_plain(job(Tones(), EngineConfig()), launch, folder, lambda _: None).history


def compare(run: Run, undisturbed: History, what: str) -> None:
    """The run ends as the undisturbed one did."""
    same(History.from_json(run.finish()), undisturbed, what)


def same(history: History, undisturbed: History, what: str) -> None:
    assert history.ended == undisturbed.ended
    assert len(history.epochs) == EPOCHS
    pairs = list(zip(history.epochs, undisturbed.epochs, strict=True))
    off = max(abs(mine.loss - its.loss) for mine, its in pairs)
    print(f"\n{what}: losses differ by at most {off:.1e}")
    assert off < TOLERANCE
    assert [mine.phase for mine, _ in pairs] == [its.phase for _, its in pairs]


if __name__ == "__main__":
    drive(train)
