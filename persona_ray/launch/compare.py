"""Fit the folds of the comparison: on Ray one task each, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from persona_ray.config import RunConfig
from persona_ray.evaluation.compare import (
    ArmPredictions,
    Fold,
    fit_and_predict,
    gather_arms,
    hear,
    plan_folds,
)
from persona_ray.evaluation.scores import Prediction
from persona_ray.progress import Progress, Stage
from persona_ray.types import Example, SampleSource

if TYPE_CHECKING:
    from persona_ray.training.finetune.inputs import SpeechVectors
    from persona_ray.training.finetune.vectors import VectorCache

# Clips that one task hears; every task builds the encoder anew.
_CLIPS_PER_TASK = 512


def compare_modalities(
    config: RunConfig,
    examples: Sequence[Example],
    source: SampleSource,
    progress: Progress,
    vectors: VectorCache | None = None,
) -> list[ArmPredictions]:
    """Rotate the customers of `examples` through the held-out folds; empty for no folds.

    On Ray each fold takes one processor, as many at a time as the cluster has. `vectors` has what
    the speech encoder said of clips before.
    """
    folds = plan_folds(examples, config.evaluation, config.splits.salt)
    if not folds:
        return []
    with progress.stage("comparing modalities", total=len(folds)) as stage:
        run = _run_plain if config.launch.backend == "plain" else _run_on_ray
        return gather_arms(folds, run(config, examples, folds, source, stage, vectors))


def _hear(
    config: RunConfig,
    examples: Sequence[Example],
    source: SampleSource,
    vectors: VectorCache | None,
) -> SpeechVectors:
    labels = config.annotation.labels
    return hear(examples, config.model, config.training, labels, source, vectors)


def _fit(
    config: RunConfig, fold: Fold, source: SampleSource, heard: SpeechVectors
) -> list[Prediction]:
    predictions, _history = fit_and_predict(
        fold, config.model, config.training, config.annotation.labels, source, heard
    )
    return predictions


def _run_plain(
    config: RunConfig,
    examples: Sequence[Example],
    folds: Sequence[Fold],
    source: SampleSource,
    stage: Stage,
    vectors: VectorCache | None,
) -> dict[int, list[Prediction]]:
    from persona_ray.launch.workers.plain import threads

    answers = {}
    with threads(config.launch):
        heard = _hear(config, examples, source, vectors)
        for at, fold in enumerate(folds):
            answers[at] = _fit(config, fold, source, heard)
            stage.advance(1)
    return answers


def _run_on_ray(
    config: RunConfig,
    examples: Sequence[Example],
    folds: Sequence[Fold],
    source: SampleSource,
    stage: Stage,
    vectors: VectorCache | None,
) -> dict[int, list[Prediction]]:
    import ray

    from persona_ray.launch.cluster import connect

    with connect(config.launch):
        gpus = config.launch.gpus_per_worker
        hear_task = ray.remote(num_cpus=1, num_gpus=gpus)(_single_threaded(_hear))
        fit_task = ray.remote(num_cpus=1, num_gpus=gpus)(_single_threaded(_fit))
        shared, its_source = ray.put(config), ray.put(source)
        parts = [hear_task.remote(shared, part, its_source, vectors) for part in _parts(examples)]
        heard = ray.put({name: row for part in ray.get(parts) for name, row in part.items()})
        waiting = {
            fit_task.remote(shared, fold, its_source, heard): at for at, fold in enumerate(folds)
        }
        answers: dict[int, list[Prediction]] = {}
        while waiting:
            (done,), _ = ray.wait(list(waiting), num_returns=1)
            answers[waiting.pop(done)] = ray.get(done)
            stage.advance(1)
    return answers


def _parts(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    for start in range(0, len(examples), _CLIPS_PER_TASK):
        yield examples[start : start + _CLIPS_PER_TASK]


def _single_threaded(task: Callable[..., Any]) -> Callable[..., Any]:
    """`task` on the one processor that it is lent."""

    def run(*arguments: Any) -> Any:
        import torch

        torch.set_num_threads(1)
        return task(*arguments)

    return run
