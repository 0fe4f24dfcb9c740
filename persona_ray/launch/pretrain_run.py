"""One pretraining run, on Ray Train or in this process: from a task to trained weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import TrainingError
from persona_ray.launch.workers.run import run_here, run_on_ray
from persona_ray.training.run_folder import RunFolder

if TYPE_CHECKING:
    from persona_ray.objectives.base import PretrainingTask
    from persona_ray.training.context import TrainContext
    from persona_ray.training.pretrain.curve import Curve, CurvePoint
    from persona_ray.training.pretrain.settings import PretrainSettings


@dataclass(frozen=True, slots=True)
class Trained:
    """`checkpoint` holds the weights after the last update."""

    curve: Curve
    checkpoint: Path


@dataclass(frozen=True, slots=True)
class _Work:
    task: PretrainingTask
    settings: PretrainSettings
    engine: EngineConfig


def pretrain_on_ray(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    launch: LaunchConfig,
    folder: Path,
    on_point: Callable[[CurvePoint], None],
) -> Trained:
    """Run `persona_ray.training.pretrain` in workers, as `run_on_ray` says."""
    work = _Work(task, settings, engine)
    curve = run_on_ray(_pretrain, work, launch, folder, on_point, lambda point: point.update)
    return _trained(curve, folder)


def pretrain_plain(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    launch: LaunchConfig,
    folder: Path,
    on_point: Callable[[CurvePoint], None],
) -> Trained:
    """`pretrain_on_ray` in this process, without Ray."""
    work = _Work(task, settings, engine)
    return _trained(run_here(_pretrain, work, launch, folder, on_point), folder)


def _pretrain(
    work: _Work, context: TrainContext, tell: Callable[[CurvePoint], None]
) -> dict[str, Any]:
    from persona_ray.training.pretrain.run import pretrain

    return pretrain(work.task, work.settings, work.engine, context, tell).as_json()


def _trained(answer: dict[str, Any], folder: Path) -> Trained:
    from persona_ray.training.pretrain.curve import Curve

    curve, newest = Curve.from_json(answer), RunFolder(folder).newest()
    if not curve.complete or newest is None:
        raise TrainingError(
            f"pretraining {curve.name} ended before its {curve.updates} updates were done: run it "
            f"again to go on from {newest or 'the start'}"
        )
    return Trained(curve, newest)
