"""Pretraining on a GPU gives the curve of the CPU, in fp32 and bf16, with torch and with ZeRO.

The runs with DeepSpeed are processes of their own, as many as there are GPUs, at most two: its
process group cannot be made anew.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

from persona_ray.config.engine import EngineConfig
from persona_ray.launch.units import prepare_units
from persona_ray.objectives.base import PretrainingTask
from persona_ray.objectives.speech_task import SpeechTask, speech_task
from persona_ray.progress import SilentProgress
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import Curve, read_curves, write_curves
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.objectives.speech_toys import Melodies, clip_infos, fingerprint, run_config
from tests.unit.training.pretrain.toys import SETTINGS, TOY, unheard

pytestmark = pytest.mark.gpu

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FP32, BF16 = EngineConfig(precision="fp32"), EngineConfig(precision="bf16")
ZERO_2 = EngineConfig(kind="deepspeed", zero_stage=2, precision="bf16")
# Convolutions run in TF32 (10 bits) unless torch is told otherwise; bf16 has 8.
CLOSE = {"fp32": 2e-3, "bf16": 3e-2}


def run(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    folder: Path,
    device: torch.device,
) -> Curve:
    return pretrain(task, settings, engine, PlainContext(folder, device=device), unheard)


def assert_same(curve: Curve, expected: Curve, tolerance: float) -> None:
    assert curve.complete
    assert len(curve.points) == len(expected.points) > 1
    for point, wanted in zip(curve.points, expected.points, strict=True):
        assert point.update == wanted.update
        assert point.loss == pytest.approx(wanted.loss, rel=tolerance)
        assert 0 < point.utilisation < 1


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory) -> Curve:
    return run(TOY, SETTINGS, FP32, tmp_path_factory.mktemp("cpu"), CPU)


@pytest.mark.parametrize("engine", [FP32, BF16], ids=lambda engine: engine.precision)
def test_torch_engine(on_cpu: Curve, engine: EngineConfig, tmp_path: Path) -> None:
    curve = run(TOY, SETTINGS, engine, tmp_path, GPU)
    assert_same(curve, on_cpu, CLOSE[engine.precision])
    assert torch.cuda.max_memory_allocated() > 0


def speech(folder: Path) -> tuple[SpeechTask, PretrainSettings]:
    config = run_config(
        folder, epochs=4, learning_rate=1e-3, batch_s=6.0, micro_batch_s=3.0, log_updates=1
    )
    infos, source = clip_infos((900, 1500, 700, 1200, 1100, 800)), Melodies()
    units = prepare_units(config, 0, "", infos, source, fingerprint(infos), SilentProgress())
    task = speech_task(config, 0, "", infos, source, units)
    return task, PretrainSettings.of(config.pretraining.speech)


@pytest.mark.parametrize("engine", [FP32, BF16], ids=lambda engine: engine.precision)
def test_masked_units(engine: EngineConfig, tmp_path: Path) -> None:
    # The first updates alone: dropout draws other numbers on a GPU, so it is left out.
    task, settings = speech(tmp_path)
    quiet = _WithoutDropout(**{name: getattr(task, name) for name in task.__dataclass_fields__})
    cpu = run(quiet, settings, FP32, tmp_path / "cpu", CPU)
    gpu = run(quiet, settings, engine, tmp_path / "gpu", GPU)
    assert_same(gpu, cpu, CLOSE[engine.precision])


class _WithoutDropout(SpeechTask):
    def build(self):  # type: ignore[no-untyped-def]
        module = super().build()
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
        return module


def _zero(rank: int, workers: int, folder: Path) -> None:
    torch.cuda.set_device(rank)
    device = torch.device("cuda", rank)
    dist.init_process_group(
        "nccl", init_method=f"file://{folder / 'store'}", rank=rank, world_size=workers
    )
    context = PlainContext(folder / "run", rank=rank, world_size=workers, device=device)
    curve = pretrain(TOY, SETTINGS, ZERO_2, context, unheard)
    if rank == 0:
        write_curves((curve,), folder / "curve.json")
    dist.destroy_process_group()


def test_deepspeed_zero_2_over_nccl(on_cpu: Curve, tmp_path: Path) -> None:
    workers = min(2, torch.cuda.device_count())
    spawn(_zero, args=(workers, tmp_path), nprocs=workers)
    (curve,) = read_curves(tmp_path / "curve.json")
    assert_same(curve, on_cpu, CLOSE["bf16"])


def test_a_checkpoint_goes_on_from_gpu_to_cpu(on_cpu: Curve, tmp_path: Path) -> None:
    asked = iter(range(100))
    context = PlainContext(tmp_path, device=GPU, stop=lambda: next(asked) == 3)
    assert not pretrain(TOY, SETTINGS, FP32, context, unheard).complete
    assert_same(run(TOY, SETTINGS, FP32, tmp_path, CPU), on_cpu, CLOSE["fp32"])
