"""One optimizer step of each large model on the CPU: folder in, checkpoint out.

About 10 GB of memory and of disk, and a minute or two for each model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from persona_ray.config import RunConfig
from persona_ray.config.engine import EngineConfig
from persona_ray.objectives.base import PretrainingTask
from persona_ray.objectives.speech_start import EncoderSource, grid_of
from persona_ray.objectives.speech_task import speech_task
from persona_ray.objectives.text_runs import text_tasks
from persona_ray.training.checkpoint import load_trained
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.models.large import CLUSTERS, PROJECTION, save_bert_large, save_hubert_large
from tests.unit.objectives.speech_toys import Melodies, clip_infos
from tests.unit.training.pretrain.toys import unheard

pytestmark = pytest.mark.drill

DIALOGUE = ("您好，我想问一下上个月的账单。", "这个利率是按日计算还是按月计算？", "好的，谢谢。")
RATE = 1e-5


@pytest.fixture
def folder() -> Iterator[Path]:
    """Removed at once: pytest would keep the gigabytes of three runs."""
    with TemporaryDirectory() as name:
        yield Path(name)


@dataclass(frozen=True)
class RandomUnits:
    """`frames` of each clip, by its id."""

    frames: dict[str, int]
    version: str = "random"

    def units(self, clip_id: str) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
        rng = np.random.default_rng(self.frames[clip_id])
        return rng.integers(0, CLUSTERS, self.frames[clip_id]).astype(np.uint16)


def config(folder: Path, tower: str, path: Path) -> RunConfig:
    once = {"epochs": 1, "learning_rate": RATE}
    return RunConfig.model_validate(
        {
            "workspace": folder,
            "model": {tower: {"path": str(path)}},
            "pretraining": {
                "text": once,
                "speech": {
                    **once,
                    "iterations": [{"features": "mfcc", "clusters": CLUSTERS}],
                    "projection": PROJECTION,
                },
            },
        }
    )


def one_step(
    task: PretrainingTask, settings: PretrainSettings, folder: Path
) -> tuple[CurvePoint, dict[str, torch.Tensor]]:
    """The only point of the curve, and how far each trained weight moved at most."""
    context = PlainContext(folder, device=torch.device("cpu"))
    curve = pretrain(task, settings, EngineConfig(), context, unheard)
    assert curve.complete
    (point,) = curve.points
    checkpoint = context.restore()
    assert checkpoint is not None
    before, after = task.build(), task.build()
    load_trained(checkpoint, after)
    return point, {
        name: (new - old).abs().max().detach()
        for (name, old), new in zip(before.named_parameters(), after.parameters(), strict=True)
        if old.requires_grad
    }


def assert_adams_first_step(moved: dict[str, torch.Tensor]) -> None:
    """Adam's first step moves a weight by the learning rate, whatever its gradient is; attention
    alone does not depend on the keys' bias."""
    still = {name for name, far in moved.items() if not far > 0.5 * RATE}
    assert {name for name in still if not name.endswith(("k_proj.bias", "key.bias"))} == set()
    assert max(moved.values()) <= 1.2 * RATE


def test_hubert_large(folder: Path) -> None:
    run = config(folder, "speech", save_hubert_large(folder / "hubert"))
    infos, source = clip_infos((1200, 1000, 700)), Melodies()
    encoder = EncoderSource.of(run.model.speech, str(folder / "hubert"), source.sample_rate_hz, 0)
    grid = grid_of(encoder.load())
    units = RandomUnits(
        {info.clip_id: grid.frames(int(info.duration_s * grid.rate_hz)) for info in infos}
    )
    task = speech_task(run, 0, str(folder / "hubert"), infos, source, units)
    settings = PretrainSettings.of(run.pretraining.speech)
    point, moved = one_step(task, settings, folder / "run")
    # Cosines over a temperature of 0.1, of units at random: near the logarithm of their number.
    assert abs(point.terms["masked"] - math.log(CLUSTERS)) < 2
    assert sum(1 for name in moved if ".layers." in name) == 24 * 16
    assert_adams_first_step(moved)


def test_bert_large(folder: Path) -> None:
    run = config(folder, "text", save_bert_large(folder / "bert", "".join(DIALOGUE)))
    (named,) = text_tasks(run, [DIALOGUE])
    settings = PretrainSettings.of(named.settings)
    point, moved = one_step(named.task, settings, folder / "run")
    assert point.terms["masked"] == pytest.approx(math.log(21128), abs=2)
    assert sum(1 for name in moved if ".layer." in name) == 24 * 16
    assert_adams_first_step(moved)
