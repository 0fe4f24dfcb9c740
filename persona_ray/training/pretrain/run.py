"""A whole run: task and settings to trained weights, checkpoints and a curve."""

from __future__ import annotations

from collections.abc import Callable

import torch

from persona_ray.config.engine import EngineConfig
from persona_ray.objectives.base import PretrainingTask
from persona_ray.training.agreement import Agreement
from persona_ray.training.checkpoint import put_weights, read_snapshot
from persona_ray.training.context import TrainContext
from persona_ray.training.engine.base import build_engine, computes_in
from persona_ray.training.feed import Feed
from persona_ray.training.pretrain.curve import Curve, CurvePoint
from persona_ray.training.pretrain.groups import pretraining_groups
from persona_ray.training.pretrain.loop import Loop
from persona_ray.training.pretrain.progress import Progress
from persona_ray.training.pretrain.settings import PretrainSettings
from persona_ray.training.pretrain.throughput import measure
from persona_ray.training.update import Updater


def pretrain(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    context: TrainContext,
    on_point: Callable[[CurvePoint], None],
) -> Curve:
    """Called by every rank. Goes on from the context's newest checkpoint and leaves one at the
    end: `load_trained` takes the weights out of it.

    `on_point` is called on every rank, for the points that this call adds. A stop that any rank
    was asked for leaves a checkpoint and a curve that is not `complete`. Raises TrainingError for
    an empty task, a checkpoint that is damaged or of another run, and a loss that is not finite.
    """
    if context.device.type == "cuda":
        torch.cuda.set_device(context.device)
    course = settings.course(task.sizes())
    identity = {"task": task.fingerprint, **settings.identity()}
    folder = context.restore()
    done = Progress() if folder is None else Progress.read(folder, identity)
    if done.update >= course.updates:
        return Curve(settings.name, task.unit, done.update, done.points)
    module = task.build()
    snapshot = read_snapshot(folder, module) if folder is not None else None
    if snapshot is not None:
        put_weights(module, snapshot.weights)
    # Measured before the engine's hooks are on the module.
    throughput = measure(
        task, module.to(context.device), context.device, computes_in(engine, context.device)
    )
    groups = pretraining_groups(module, settings.weight_decay)
    running = build_engine(module, groups, settings.max_gradient_norm, engine, context)
    agreement = Agreement(context.world_size)
    try:
        if snapshot is not None:
            running.restore(snapshot.moments, snapshot.steps)
            snapshot = None  # frees twice the model's size
        updater = Updater(
            f"pretraining {settings.name}", task.weights, settings.seed, running, agreement, context
        )
        loop = Loop(
            settings, task.weights, identity, course, running, updater, throughput, context,
            on_point,
        )  # fmt: skip
        with Feed(task, course, context, done.update) as feed:
            points = loop.run(feed, done)
    finally:
        running.close()
        agreement.close()
    context.finish()
    return Curve(settings.name, task.unit, course.updates, points)
