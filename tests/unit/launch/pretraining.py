"""A small corpus to pretrain on, and runs that are watched and stopped."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from persona_ray.config import RunConfig
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.launch.pretrain import PretrainResult
from tests.unit.corpus.calls import make_archive, run_config

SMALL = {"hidden_size": 16, "layers": 2, "heads": 2}
TEXT = {
    "epochs": 6,
    "learning_rate": 3e-3,
    "batch_tokens": 64,
    "log_updates": 1,
    "checkpoint_updates": 4,
}
SPEECH = {
    "epochs": 2,
    "learning_rate": 1e-3,
    "batch_s": 8.0,
    "micro_batch_s": 8.0,
    "log_updates": 1,
    "checkpoint_updates": 100,
    "projection": 8,
    "iterations": [{"clusters": 4}, {"features": "layer", "layer": 1, "clusters": 4}],
}


def built(folder: Path) -> RunConfig:
    """A run whose corpus is built."""
    config = run_config(
        folder,
        make_archive(folder, 12, broken=0),
        model={"text": {"small": SMALL}, "speech": {"small": {**SMALL, "conv_channels": 18}}},
        pretraining={"text": TEXT, "speech": SPEECH},
        launch={"backend": "plain", "cpus_per_worker": 1},
        tracking={"url": "off"},
    )
    build_corpus(config)
    return config


def changed(config: RunConfig, tower: str, **values: Any) -> RunConfig:
    tree = config.model_dump(mode="json")
    tree["pretraining"][tower] |= values
    return RunConfig.model_validate(tree)


class Watching:
    """Notes the updates that each stage tells of, and sends itself a signal when one is reached."""

    def __init__(
        self, stop_in: str = "", stop_at: int = 0, by: signal.Signals = signal.SIGTERM
    ) -> None:
        self.told: dict[str, list[float]] = {}
        self._stop = (stop_in, stop_at)
        self._by = by

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Any]:  # noqa: ARG002
        told = self.told.setdefault(name, [])
        watching = self

        class Stage:
            def advance(self, n: float = 1, **figures: float) -> None:  # noqa: ARG002
                told.append((told[-1] if told else 0) + n)
                if (name, told[-1]) == watching._stop:
                    os.kill(os.getpid(), watching._by)

        yield Stage()


def losses(result: PretrainResult) -> list[list[float]]:
    return [[point.loss for point in curve.points] for curve in result.curves]
