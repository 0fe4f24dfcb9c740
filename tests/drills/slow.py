"""A pretraining run that lasts long enough to be killed, in a process of its own.

python -m tests.drills.slow FOLDER ADDRESS WORKERS MIN_WORKERS
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from persona_ray.config.learning import LaunchConfig
from persona_ray.config.pretraining import EngineConfig
from persona_ray.objectives.base import MicroBatch
from persona_ray.training.pretrain.settings import PretrainSettings
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


def launch(address: str, workers: int, least: int) -> LaunchConfig:
    elastic = None if least == workers else least
    return LaunchConfig(
        workers=workers, min_workers=elastic, cpus_per_worker=1, address=address, max_failures=3
    )


def main() -> None:
    from persona_ray.launch.cluster import connect
    from persona_ray.launch.pretrain_run import pretrain_on_ray

    folder, config = Path(sys.argv[1]), launch(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    with connect(config), (folder.parent / "told.txt").open("a") as told:

        def tell(point: object) -> None:
            told.write(f"{time.time()} {point.update}\n")  # type: ignore[attr-defined]
            told.flush()

        trained = pretrain_on_ray(SlowTask(), settings(), ENGINE, config, folder, tell)
    tree = trained.curve.as_json()
    (folder.parent / "curve.json").write_text(json.dumps(tree), encoding="utf-8")


if __name__ == "__main__":
    main()
