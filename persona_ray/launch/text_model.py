"""Labelled texts -> the bundle of a model that reads."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config import RunConfig
from persona_ray.config.space import with_values
from persona_ray.errors import TrainingError
from persona_ray.launch.cluster import connected
from persona_ray.launch.encoders import content
from persona_ray.launch.finetune_run import Finetuned, fit_on_ray, fit_plain
from persona_ray.launch.tracking.runs import tracked
from persona_ray.launch.versions.lineage import lineage_of
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.progress import Progress
from persona_ray.types import Example, Split

if TYPE_CHECKING:
    from persona_ray.config.learning import ModelConfig, TrainingConfig
    from persona_ray.launch.tracking.tracker import Tracker
    from persona_ray.training.finetune.history import EpochResult
    from persona_ray.types import Samples


class NoAudio:
    """A source for examples that are only read."""

    sample_rate_hz = 8000

    def samples(self, clip_id: str) -> Samples:
        raise KeyError(clip_id)

    def digest(self, clip_id: str) -> str:
        raise KeyError(clip_id)


@dataclass(frozen=True, slots=True)
class TextTraining:
    """One training. `name` is that of its folder of checkpoints, `stage` what people see; `data`
    the fingerprint of the data, `splits` how they were dealt."""

    name: str
    stage: str
    model: ModelConfig
    training: TrainingConfig
    examples: Mapping[Split, Sequence[Example]]
    data: str
    splits: Mapping[str, Any]

    def labels(self, what: str, unit: str, salt: str) -> tuple[str, ...]:
        """Of all examples. Raises TrainingError where one is not in the train and the test part;
        `what` a label is, of what `unit`, and which key deals anew, stand in its words."""
        labels = tuple(sorted({row.label for rows in self.examples.values() for row in rows}))
        for split in (Split.TRAIN, Split.TEST):
            lacking = sorted(set(labels) - {row.label for row in self.examples[split]})
            if lacking:
                raise TrainingError(
                    f"{what} '{lacking[0]}' has no {unit} in the {split} split: give more of it, "
                    f"or change {salt}"
                )
        return labels

    def job(self, config: RunConfig, labels: tuple[str, ...]) -> TrainingJob:
        return TrainingJob(
            model=self.model,
            training=self.training,
            labels=labels,
            train=tuple(self.examples[Split.TRAIN]),
            dev=tuple(self.examples[Split.DEV]),
            source=NoAudio(),
            engine=config.engine,
        )


def with_files(config: RunConfig, files: Mapping[str, Sequence[Path]]) -> RunConfig:
    """`config` with files at dotted keys, where any are given."""
    given = {key: [str(file) for file in some] for key, some in files.items() if some}
    changed: RunConfig = with_values(config, given)
    return changed


@contextmanager
def trained(
    config: RunConfig,
    progress: Progress,
    work: TextTraining,
    labels: tuple[str, ...],
    bundle: Path,
    fresh: bool,
) -> Iterator[Tracker]:
    """Train and write `bundle`; what the block adds to the tracker stands with the run.

    A killed run goes on where it was, unless `fresh`.
    """
    job = work.job(config, labels)
    identity = job.fingerprint(f"{work.data} {content(work.model.text.path)}")
    folder = config.workspace / "training" / f"{work.name}-{identity}"
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    parameters = {"model": work.model, "training": work.training, "engine": config.engine}
    with (
        tracked(config, work.stage, folder, parameters, {"data": work.data}) as tracker,
        progress.stage(work.stage, total=work.training.epochs) as stage,
    ):

        def tell(result: EpochResult) -> None:
            from persona_ray.training.finetune.outcome import metrics_of

            stage.advance(1, loss=result.loss)
            tracker.metrics(result.epoch, metrics_of(result))

        fit = fit_plain if config.launch.backend == "plain" else fit_on_ray
        with connected(config.launch):
            tuned = fit(job, config.launch, folder, tell)
        _write(work, tuned, bundle)
        yield tracker
    # The bundle is whole: what a rerun would go on from is no longer needed.
    shutil.rmtree(folder, ignore_errors=True)


def _write(work: TextTraining, tuned: Finetuned, bundle: Path) -> None:
    from persona_ray.models.bundle import contract_of, save_bundle
    from persona_ray.training.finetune.outcome import metrics_of

    history = tuned.history
    best = work.training.keep == "best" and history.best is not None
    kept = history.best if best and history.best is not None else history.last
    model = tuned.model(best=best)
    described = {
        "model": work.model.model_dump(mode="json"),
        "training": work.training.model_dump(mode="json"),
        "splits": dict(work.splits),
    }
    contract = contract_of(model, work.data, metrics_of(kept), described)
    if kept.dev is not None:
        contract = contract.with_temperature(kept.dev.temperature)
    job = tuned.job
    save_bundle(model, bundle, contract, lineage_of([*job.train, *job.dev], work.model))
