"""HuBERT and BERT as they are pretrained, with everything that DeepSpeed and recomputation do to a
module: the same curve as one process that does nothing of it.

Dropout is off, because it is drawn by rank. The families differ in where their norms stand, and
so in what the hooks of the speech task meet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.multiprocessing.spawn import spawn

from persona_ray.config import RunConfig
from persona_ray.config.engine import EngineConfig
from persona_ray.launch.units import prepare_units
from persona_ray.objectives.base import MicroBatch, PretrainingTask
from persona_ray.objectives.speech_task import speech_task
from persona_ray.objectives.text_runs import text_tasks
from persona_ray.progress import SilentProgress
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import read_curves, write_curves
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.models.checkpoints import FAMILIES, speech_checkpoint
from tests.unit.objectives.speech_toys import Melodies, clip_infos, fingerprint, run_config
from tests.unit.training.pretrain.toys import unheard

pytestmark = pytest.mark.drill

TALK = [
    ["你好请问需要办理什么业务", "我想查询一下账户余额", "好的请稍等", "谢谢你的帮助"],
    ["今天天气很好我们去公园吧", "可以啊几点钟出发呢", "下午三点怎么样"],
] * 2
ALONE = EngineConfig()
ENGINES = (
    EngineConfig(activation_checkpointing=True),
    EngineConfig(kind="deepspeed", zero_stage=2, activation_checkpointing=True),
    EngineConfig(kind="deepspeed", zero_stage=3),
    EngineConfig(kind="deepspeed", zero_stage=3, activation_checkpointing=True),
)
SCHEDULE: dict[str, Any] = {"epochs": 2, "learning_rate": 3e-3, "log_updates": 1}


@dataclass(frozen=True)
class Undropped:
    """A task whose model has no dropout."""

    task: PretrainingTask

    @property
    def unit(self) -> Literal["tokens", "audio_s"]:
        return self.task.unit

    @property
    def weights(self) -> Mapping[str, float]:
        return self.task.weights

    @property
    def fingerprint(self) -> str:
        return self.task.fingerprint

    def sizes(self) -> Sequence[float]:
        return self.task.sizes()

    def build(self) -> nn.Module:
        module = self.task.build()
        for part in module.modules():
            if isinstance(part, nn.Dropout):
                part.p = 0.0
            for name in ("dropout", "attention_dropout"):
                if isinstance(getattr(part, name, None), float):
                    setattr(part, name, 0.0)
        return module

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        return self.task.batch(positions, epoch)

    def save(self, module: nn.Module, folder: Path) -> None:
        self.task.save(module, folder)


Runs = dict[str, tuple[Undropped, PretrainSettings]]


def speech(folder: Path, path: str) -> tuple[Undropped, PretrainSettings]:
    config = run_config(folder)
    settings = PretrainSettings.of(config.pretraining.speech)
    infos, source = clip_infos([2_000, 900, 1_500, 300, 4_000, 1_000]), Melodies()
    units = prepare_units(config, 0, path, infos, source, fingerprint(infos), SilentProgress())
    task = speech_task(config, 0, path, infos, source, units)
    return Undropped(task), replace(settings, update_size=6.0, micro_size=2.0, **SCHEDULE)


def text(folder: Path, pairs: bool) -> tuple[Undropped, PretrainSettings]:
    small = {"hidden_size": 16, "layers": 2, "heads": 2}
    config = RunConfig.model_validate(
        {
            "workspace": folder,
            "model": {"text": {"max_tokens": 32, "small": small}},
            "pretraining": {"text": {"next_sentence": pairs}},
        }
    )
    settings = PretrainSettings.of(config.pretraining.text)
    task = text_tasks(config, TALK)[-1].task
    return Undropped(task), replace(settings, update_size=120.0, micro_size=40.0, **SCHEDULE)


def runs(root: Path) -> Runs:
    families = {
        str(family): speech_checkpoint(root / str(family), family) for family in FAMILIES[:2]
    }
    return {
        "small speech": speech(root / "small", ""),
        **{name: speech(root / f"of-{name}", str(path)) for name, path in families.items()},
        "text": text(root / "text", pairs=False),
        "text with pairs": text(root / "pairs", pairs=True),
    }


def carry_out(root: Path, made: Runs, engine: EngineConfig, rank: int, world_size: int) -> None:
    for name, (task, settings) in made.items():
        label = f"{name} {engine.model_dump_json()} {world_size}".replace("/", "-")
        context = PlainContext(
            root / label, rank=rank, world_size=world_size, device=torch.device("cpu")
        )
        curve = pretrain(task, settings, engine, context, unheard)
        if rank == 0:
            write_curves((curve,), root / f"{label}.json")


def work(rank: int, root: Path, made: Runs) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{root / 'store'}", rank=rank, world_size=2)
    for engine in ENGINES:
        carry_out(root, made, engine, rank, 2)
    dist.destroy_process_group()


def test_one_curve(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    made = runs(tmp_path)
    carry_out(tmp_path, made, ALONE, 0, 1)
    spawn(work, args=(tmp_path, made), nprocs=2)
    for name in made:
        (expected,) = read_curves(tmp_path / f"{name} {ALONE.model_dump_json()} 1.json")
        assert len(expected.points) >= 3
        for engine in ENGINES:
            (curve,) = read_curves(tmp_path / f"{name} {engine.model_dump_json()} 2.json")
            for point, wanted in zip(curve.points, expected.points, strict=True):
                assert point.loss == pytest.approx(wanted.loss, rel=1e-4), (name, engine)
                assert point.gradient_norm == pytest.approx(wanted.gradient_norm, rel=1e-3)
