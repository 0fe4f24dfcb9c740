"""Annotated clips -> bundle."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.launch.cluster import connected
from persona_ray.launch.encoders import content, pretrained
from persona_ray.launch.finetune_run import Finetuned, fit_on_ray, fit_plain
from persona_ray.launch.journal import journalled
from persona_ray.launch.labelled import open_labelled
from persona_ray.launch.reference import training_reference
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.tracking.plots import training_plots
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.launch.versions.lineage import lineage_of
from persona_ray.launch.versions.promotion import register_challenger
from persona_ray.launch.watching import counted
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.objectives.temperature import LEAST_ANSWERS
from persona_ray.progress import Progress
from persona_ray.training.run_folder import RunFolder
from persona_ray.types import Split
from persona_ray.watch import spans

if TYPE_CHECKING:
    from persona_ray.models.lineage import Lineage
    from persona_ray.training.finetune.history import EpochResult, History
    from persona_ray.watch.jobs import JobWatch
    from persona_ray.watch.reference import TrainingReference

HISTORY = "history.json"
STAGE = "fine-tuning"


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """`clips` is the number of labelled clips of each split; `registered` the bundle's address in
    the registry, empty where it has none."""

    bundle_dir: Path
    history: History
    clips: Mapping[Split, int]
    registered: str = ""

    def __str__(self) -> str:
        last = self.history.last
        clips = ", ".join(f"{split} {self.clips.get(split, 0)}" for split in Split)
        lines = [
            f"clips: {clips}",
            f"epochs: {last.epoch}, loss {last.loss:.3f}"
            + (f" ({self.history.ended.reason})" if self.history.ended else ""),
        ]
        if last.dev is not None:
            lines.append(
                f"dev accuracy: clips {last.dev.clip_accuracy:.1%}, "
                f"customers {last.dev.customer_accuracy:.1%}"
            )
        if self.registered:
            lines.append(f"registered: {self.registered}")
        return "\n".join([*lines, f"bundle: {self.bundle_dir}"])


@copied("bundle", needs=("corpus", "encoders"))
def finetune(
    config: RunConfig, progress: Progress, fresh: bool = False, parent: str = ""
) -> FinetuneResult:
    """Train on the train split and write the bundle of the epoch that `training.keep` says to
    `config.bundle_dir`.

    By default the last, not the best on dev: with few dev customers the best is chosen by luck, and
    the stop rule is `training.stop_loss`. Encoders start as `launch.encoders.pretrained` says. A
    killed run goes on where it was, unless `fresh`. `parent`: the MLflow run it belongs to.
    Raises CorpusError, AnnotationError, LeakageError, ModelError, TrainingError, TrackingError.
    """
    with journalled(config, STAGE), counted(config, STAGE, progress) as job:
        return _finetune(config, job, fresh, parent)


def _finetune(config: RunConfig, progress: JobWatch, fresh: bool, parent: str) -> FinetuneResult:
    from persona_ray.training.finetune.examples import check_examples
    from persona_ray.training.finetune.vectors import VectorCache

    # First, because it may fail, and is read at once.
    model_config = pretrained(config).model
    check_tracking(config)
    data = open_labelled(config)
    job = TrainingJob(
        model=model_config,
        training=config.training,
        labels=config.annotation.labels,
        train=data.of(Split.TRAIN),
        dev=data.of(Split.DEV),
        source=data.dataset,
        vectors=VectorCache(config.vectors_dir.absolute()),
        engine=config.engine,
    )
    # Before workers are started for nothing.
    check_examples(job.train, job.dev, job.labels)
    lineage = lineage_of(data.examples, model_config)
    encoders = [content(path) for path in (model_config.speech.path, model_config.text.path)]
    fingerprint = job.fingerprint(" ".join([data.dataset.fingerprint, *encoders]))
    folder = config.workspace / "training" / fingerprint
    if fresh:
        shutil.rmtree(folder, ignore_errors=True)
    tags = {"data": data.dataset.fingerprint, "labels": data.labels_fingerprint}
    tuned, run_id = _fitted(config, job, folder, tags, parent, progress)
    reference = training_reference(data)
    _write_bundles(config, tuned, data.dataset.fingerprint, lineage, reference)
    tuned.history.write(config.workspace / HISTORY)
    registered = register_challenger(config, run_id)
    # The bundles are whole: what a rerun would go on from is no longer needed.
    shutil.rmtree(folder, ignore_errors=True)
    counts = Counter(example.split for example in data.examples)
    return FinetuneResult(config.bundle_dir, tuned.history, counts, registered)


def _fitted(
    config: RunConfig,
    job: TrainingJob,
    folder: Path,
    tags: Mapping[str, str],
    parent: str,
    progress: JobWatch,
) -> tuple[Finetuned, str]:
    """With the id of the MLflow run, empty where nothing is kept. `folder` for checkpoints."""
    parameters = {
        "model": job.model,
        "training": config.training,
        "engine": config.engine,
        "launch": config.launch,
    }
    with (
        tracked(config, STAGE, folder, parameters, tags, parent) as tracker,
        progress.stage(STAGE, total=config.training.epochs) as stage,
    ):
        done = 0

        def tell(result: EpochResult) -> None:
            nonlocal done
            stage.advance(result.epoch - done, **_figures(result))
            done = result.epoch
            spans.passed("epoch", result.seconds, epoch=result.epoch)
            tracker.metrics(result.epoch, _curves(result))
            progress.checkpoint(RunFolder(folder).newest())

        fit = fit_plain if config.launch.backend == "plain" else fit_on_ray
        with connected(config.launch):
            tuned = fit(job, config.launch, folder, tell)
        for name, plot in training_plots(config, tuned).items():
            tracker.text(name, plot)
    return tuned, tracker.run_id


def _write_bundles(
    config: RunConfig,
    tuned: Finetuned,
    data: str,
    lineage: Lineage,
    reference: TrainingReference,
) -> None:
    """That of the epoch that `training.keep` says, and the other beside it where it is another.
    `data`: the corpus' fingerprint."""
    from persona_ray.models.bundle import contract_of, save_bundle

    last, best = tuned.history.last, tuned.history.best
    epochs = {"last": last} | ({} if best is None or best.epoch == last.epoch else {"best": best})
    kept = config.training.keep if config.training.keep in epochs else "last"
    for which in ("last", "best"):
        folder = config.bundle_dir if which == kept else other_bundle_dir(config, which)
        if which not in epochs:
            if which != kept:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        model = tuned.model(best=which == "best")
        contract = contract_of(
            model,
            data,
            _metrics(epochs[which]),
            {
                "model": config.model.model_dump(mode="json"),
                "pretraining": config.pretraining.model_dump(mode="json"),
                "training": config.training.model_dump(mode="json"),
                "splits": config.splits.model_dump(mode="json"),
            },
        ).with_temperature(*_temperature(epochs[which], len(tuned.job.dev)))
        save_bundle(model, folder, contract, lineage, reference)


def _temperature(result: EpochResult, dev: int) -> tuple[float, str]:
    """Of the dev split's clips after that epoch, and why there is none."""
    if result.dev is not None and result.dev.temperature != 1.0:
        return result.dev.temperature, ""
    if dev < LEAST_ANSWERS:
        return 1.0, f"{dev} dev clips, at least {LEAST_ANSWERS} are needed"
    return 1.0, f"the {dev} dev clips set none"


def other_bundle_dir(config: RunConfig, which: str) -> Path:
    """Where the bundle of the `last` or the `best` epoch lies if it is not the one to use."""
    return config.bundle_dir.with_name(f"{config.bundle_dir.name}-{which}")


def _figures(result: EpochResult) -> dict[str, float]:
    figures = {"loss": result.loss, "audio_s_per_s": result.audio_s_per_s}
    if result.dev is not None:
        figures["dev_accuracy"] = result.dev.clip_accuracy
    return figures


def _curves(result: EpochResult) -> dict[str, float]:
    """What MLflow keeps of an epoch."""
    return {
        **_metrics(result),
        "frozen": float(result.phase == "frozen"),
        "learning_rate": result.learning_rate,
        "encoder_learning_rate": result.encoder_learning_rate,
        "seconds": result.seconds,
        "audio_s_per_s": result.audio_s_per_s,
    }


def _metrics(last: EpochResult) -> dict[str, float]:
    dev = {} if last.dev is None else {f"dev_{k}": v for k, v in asdict(last.dev).items()}
    return {"epochs": float(last.epoch), "loss": last.loss, **dev}
