"""Pretraining on Ray Train: the curve of one process, whatever the engine and the workers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.pretrain_run import Trained, pretrain_on_ray, pretrain_plain
from persona_ray.training.pretrain.curve import CurvePoint
from persona_ray.training.run_folder import RunFolder
from tests.unit.training.pretrain.toys import SETTINGS, ToyTask

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("ray_cluster")]

RUN = replace(SETTINGS, checkpoint_updates=4)
TWO = LaunchConfig(workers=2, cpus_per_worker=1)
ZERO_2 = EngineConfig(kind="deepspeed", zero_stage=2)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("plain")
    launch = LaunchConfig(cpus_per_worker=1)
    return pretrain_plain(ToyTask(), RUN, EngineConfig(), launch, folder, lambda _: None)


def test_two_workers_under_zero_2_are_one_process(plain: Trained, tmp_path: Path) -> None:
    told: list[CurvePoint] = []
    trained = pretrain_on_ray(ToyTask(), RUN, ZERO_2, TWO, tmp_path / "run", told.append)
    assert tuple(told) == trained.curve.points
    assert [p.update for p in told] == [p.update for p in plain.curve.points]
    for mine, its in zip(told, plain.curve.points, strict=True):
        assert mine.loss == pytest.approx(its.loss, abs=1e-4)
        assert mine.accuracy == its.accuracy
    weights, expected = (load_file(x.checkpoint / "weights.safetensors") for x in (trained, plain))
    for name, tensor in expected.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-4, rtol=0)
    # The newest two, and no half-written one.
    left = RunFolder(tmp_path / "run").checkpoints()
    assert len(left) == 2
    assert left[-1] == trained.checkpoint
    assert not list((tmp_path / "run").glob("writing-*"))


def test_a_plain_run_goes_on_on_ray_and_says_its_own_error(plain: Trained, tmp_path: Path) -> None:
    """One format of checkpoints; and a worker's message comes out as one line."""
    folder = tmp_path / "run"
    folder.mkdir()
    plain.checkpoint.rename(folder / plain.checkpoint.name)
    other = replace(RUN, learning_rate=0.5)
    launch = LaunchConfig(cpus_per_worker=1, max_failures=0)
    with pytest.raises(TrainingError, match=r"^training on Ray failed: [^\n]*learning_rate[^\n]+$"):
        pretrain_on_ray(ToyTask(), other, EngineConfig(), launch, folder, lambda _: None)
