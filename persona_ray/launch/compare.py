"""Fit the folds of the comparison: on Ray one task each, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from persona_ray.config import RunConfig
from persona_ray.evaluation.compare import (
    ArmPredictions,
    Fold,
    fit_and_predict,
    gather_arms,
    plan_folds,
)
from persona_ray.evaluation.scores import Prediction
from persona_ray.progress import Progress, Stage
from persona_ray.types import Example, SampleSource


def compare_modalities(
    config: RunConfig, examples: Sequence[Example], source: SampleSource, progress: Progress
) -> list[ArmPredictions]:
    """Rotate the customers of `examples` through the held-out folds; empty for no folds.

    On Ray each fold takes one processor, as many at a time as the cluster has.
    """
    folds = plan_folds(examples, config.evaluation, config.splits.salt)
    if not folds:
        return []
    with progress.stage("comparing modalities", total=len(folds)) as stage:
        run = _run_plain if config.launch.backend == "plain" else _run_on_ray
        return gather_arms(folds, run(config, folds, source, stage))


def _one_fold(config: RunConfig, fold: Fold, source: SampleSource) -> list[Prediction]:
    predictions, _history = fit_and_predict(
        fold, config.model, config.training, config.annotation.labels, source
    )
    return predictions


def _run_plain(
    config: RunConfig, folds: Sequence[Fold], source: SampleSource, stage: Stage
) -> dict[int, list[Prediction]]:
    from persona_ray.launch.plain import threads

    answers = {}
    with threads(config.launch):
        for at, fold in enumerate(folds):
            answers[at] = _one_fold(config, fold, source)
            stage.advance(1)
    return answers


def _run_on_ray(
    config: RunConfig, folds: Sequence[Fold], source: SampleSource, stage: Stage
) -> dict[int, list[Prediction]]:
    import ray

    from persona_ray.launch.cluster import connect

    with connect(config.launch):
        task: Callable[..., list[Prediction]] = _fold_task
        remote = ray.remote(num_cpus=1, num_gpus=config.launch.gpus_per_worker)(task)
        shared_config, shared_source = ray.put(config), ray.put(source)
        refs = {
            remote.remote(shared_config, fold, shared_source): at for at, fold in enumerate(folds)
        }
        answers: dict[int, list[Prediction]] = {}
        waiting = list(refs)
        while waiting:
            (done,), waiting = ray.wait(waiting, num_returns=1)
            answers[refs[done]] = ray.get(done)
            stage.advance(1)
    return answers


def _fold_task(config: RunConfig, fold: Fold, source: SampleSource) -> list[Prediction]:
    import torch

    torch.set_num_threads(1)
    return _one_fold(config, fold, source)
