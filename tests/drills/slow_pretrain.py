"""A pretraining run that lasts long enough to be killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.objectives.base import MicroBatch
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.drills.runs import drive
from tests.unit.training.pretrain.toys import SETTINGS, ToyTask

BATCH_S = 0.15
ENGINE = EngineConfig(kind="deepspeed", zero_stage=2)


@dataclass(frozen=True)
class SlowTask(ToyTask):
    """The same batches, but each takes `BATCH_S`."""

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        time.sleep(BATCH_S)
        return super().batch(positions, epoch)


def settings() -> PretrainSettings:
    return replace(SETTINGS, epochs=20, checkpoint_updates=10, log_updates=1)


def train(folder: Path, launch: LaunchConfig, tell: Callable[[int], None]) -> object:
    from persona_ray.launch.pretrain_run import pretrain_on_ray

    trained = pretrain_on_ray(
        SlowTask(), settings(), ENGINE, launch, folder, lambda point: tell(point.update)
    )
    return trained.curve.as_json()


if __name__ == "__main__":
    drive(train)
