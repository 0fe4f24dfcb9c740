"""Masked units behind every engine: hooks, checkpointing and shared-out weights change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from persona_ray.config.engine import EngineConfig
from persona_ray.config.pretraining import PretrainSpeechConfig
from persona_ray.launch.units import prepare_units
from persona_ray.objectives.speech_task import SpeechTask, speech_task
from persona_ray.progress import SilentProgress
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import Curve, read_curves, write_curves
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.models.checkpoints import FAMILIES, Family, speech_checkpoint
from tests.unit.objectives.speech_toys import QUIET, Melodies, clip_infos, fingerprint, run_config
from tests.workers import Workers

INFOS = clip_infos([700 + 83 * (number % 7) for number in range(10)])
# Losses of about 1.8 and weights of about 1, after few steps of Adam at a rate of 0.001.
TOLERANCE = 1e-4
SETTINGS = PretrainSettings.of(
    PretrainSpeechConfig(
        epochs=2, learning_rate=1e-3, batch_s=6.0, micro_batch_s=2.0, log_updates=1
    )
)
ENGINES = {
    "torch": EngineConfig(),
    "torch-checkpointed": EngineConfig(activation_checkpointing=True),
    "zero2": EngineConfig(kind="deepspeed", zero_stage=2),
    "zero3-checkpointed": EngineConfig(
        kind="deepspeed", zero_stage=3, activation_checkpointing=True
    ),
}


def work(rank: int, root: Path, task: SpeechTask) -> None:
    for name, engine in ENGINES.items():
        run(root / f"{name}-2", task, engine, rank, world_size=2)


def run(folder: Path, task: SpeechTask, engine: EngineConfig, rank: int, world_size: int) -> None:
    context = PlainContext(folder, rank=rank, world_size=world_size)
    curve = pretrain(task, SETTINGS, engine, context, lambda _: None)
    if rank == 0:
        write_curves((curve,), folder.with_suffix(".json"))


def outcome(folder: Path) -> tuple[Curve, dict[str, Tensor]]:
    newest = PlainContext(folder).restore()
    assert newest is not None
    return read_curves(folder.with_suffix(".json"))[0], load_file(newest / "weights.safetensors")


@pytest.mark.parametrize("family", FAMILIES[:1], ids=str)
def test_every_engine_learns_the_same(family: Family, tmp_path: Path, workers: Workers) -> None:
    path = str(speech_checkpoint(tmp_path / "hubert", family, **QUIET))
    config = run_config(tmp_path / "run")
    units = prepare_units(config, 0, path, INFOS, Melodies(), fingerprint(INFOS), SilentProgress())
    task = speech_task(config, 0, path, INFOS, Melodies(), units)
    run(tmp_path / "alone", task, EngineConfig(), 0, world_size=1)
    workers.together(work, tmp_path, task)
    expected, weights = outcome(tmp_path / "alone")
    assert expected.updates >= 4
    for name in ENGINES:
        curve, found = outcome(tmp_path / f"{name}-2")
        for point, wanted in zip(curve.points, expected.points, strict=True):
            assert point.loss == pytest.approx(wanted.loss, rel=TOLERANCE), name
            assert point.accuracy == pytest.approx(dict(wanted.accuracy), abs=0.01), name
        assert found.keys() == weights.keys()
        for weight, tensor in found.items():
            torch.testing.assert_close(
                tensor.float(), weights[weight].float(), rtol=0, atol=10 * TOLERANCE,
                msg=f"{name}: {weight}",
            )  # fmt: skip
