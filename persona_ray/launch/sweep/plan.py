"""What a sweep trains: combinations of values, each with every seed on every fold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import ModelConfig, TrainingConfig
from persona_ray.config.space import Values, with_values
from persona_ray.config.sweep import Distribution, SweepConfig
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.launch.encoders import TOWERS, absolute, content, pretrained, unpretrained
from persona_ray.launch.labelled import LabelledCorpus
from persona_ray.launch.workers.job import TrainingJob
from persona_ray.types import Example, Modality, SampleSource, Split

if TYPE_CHECKING:
    from persona_ray.training.finetune.vectors import VectorCache

# Raised when the code behind a trial changes its result.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Fold:
    """Learn from `train`, be judged on `held_out`."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]

    def digest(self) -> str:
        rows = [[asdict(example) for example in part] for part in (self.train, self.held_out)]
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SweepRun:
    """One fine-tuning. `key` stands for all that its result depends on."""

    seed: int
    fold: int
    model: ModelConfig
    training: TrainingConfig
    engine: EngineConfig
    key: str


@dataclass(frozen=True, slots=True)
class Trial:
    """A combination with the runs that are done one after the other, in one process."""

    values: Values
    runs: tuple[SweepRun, ...]


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Picklable: what trials share. `data` is the fingerprint of clips and labels, `encoders` that
    of the encoder folders, by path."""

    config: RunConfig
    folds: tuple[Fold, ...]
    digests: tuple[str, ...]
    source: SampleSource
    data: str
    encoders: Mapping[str, str]
    vectors: VectorCache

    @property
    def sweep(self) -> SweepConfig:
        return self.config.sweep

    def runs(self, values: Values) -> tuple[SweepRun, ...]:
        """Raises ConfigError for a combination that is impossible."""
        config: RunConfig = with_values(self.config, values)
        return tuple(
            self._run(config, seed, fold)
            for seed in self.sweep.seeds
            for fold in range(len(self.folds))
        )

    def trial(self, values: Values) -> Trial:
        return Trial(values, self.runs(values))

    def job(self, run: SweepRun) -> TrainingJob:
        return TrainingJob(
            model=run.model,
            training=run.training,
            labels=self.config.annotation.labels,
            train=self.folds[run.fold].train,
            dev=self.folds[run.fold].held_out,
            source=self.source,
            vectors=self.vectors,
            engine=run.engine,
        )

    def _run(self, config: RunConfig, seed: int, fold: int) -> SweepRun:
        training = config.training.model_copy(update={"seed": seed})
        paths = (config.model.speech.path, config.model.text.path)
        parts = {
            "version": VERSION,
            "model": config.model.model_dump(mode="json"),
            "training": training.model_dump(mode="json"),
            "engine": config.engine.model_dump(mode="json"),
            "labels": self.config.annotation.labels,
            "encoders": [self.encoders.get(path) or content(path) for path in paths],
            "data": self.data,
            "fold": self.digests[fold],
        }
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return SweepRun(seed, fold, config.model, training, config.engine, digest[:24])


def with_folders(space: Mapping[str, Distribution]) -> dict[str, Distribution]:
    """`space` with encoders' folders by absolute path, since trials run in other folders. Raises
    EncoderError for a folder that is not there."""
    from persona_ray.models.hub import check_folder

    resolved = dict(space)
    for tower in TOWERS:
        path = f"model.{tower}.path"
        if path in space:
            distribution = space[path]
            for value in distribution.values or ():
                check_folder(tower, value)
            folders = tuple(absolute(value) for value in distribution.values or ())
            resolved[path] = distribution.model_copy(update={distribution.kind: folders})
    return resolved


def plan_sweep(
    config: RunConfig, swept: Sequence[str], data: LabelledCorpus, vectors: VectorCache
) -> SweepPlan:
    """`swept`: the keys that vary. Raises ConfigError, EncoderError, TrainingError."""
    resolved = _with_encoders(config, swept)
    folds = _folds(config, data)
    paths = {resolved.model.speech.path, resolved.model.text.path}
    return SweepPlan(
        config=resolved,
        folds=folds,
        digests=tuple(fold.digest() for fold in folds),
        source=data.dataset,
        data=f"{data.dataset.fingerprint} {data.labels_fingerprint}",
        encoders={path: content(path) for path in paths},
        vectors=vectors,
    )


def encoder_key(run: SweepRun) -> str:
    """The same for runs whose frozen encoders say the same of a clip."""
    model = run.model
    hears, reads = model.modality != Modality.TEXT, model.modality != Modality.SPEECH
    # What is built here starts from the seed, its tokenizer from the texts that it learns from.
    built = (hears and not model.speech.path) or (reads and not model.text.path)
    parts = {
        "modality": model.modality,
        "speech": [model.speech.path, model.speech.small.model_dump(mode="json")],
        "text": model.text.model_dump(mode="json"),
        "max_clip_s": model.max_clip_s,
        "precision": run.engine.precision,
        "seed": run.seed if built else None,
        "fold": run.fold if reads and not model.text.path else None,
    }
    return json.dumps(parts, sort_keys=True)


def prefix_key(run: SweepRun, plan: SweepPlan) -> str:
    """The same for runs whose frozen epochs are the same, as far as both have them."""
    from persona_ray.training.finetune.progress import identity_of

    labels = plan.config.annotation.labels
    identity = identity_of(run.training, labels, plan.digests[run.fold], frozen_alone=True)
    model = run.model.model_dump(mode="json")
    return json.dumps([identity, model, run.engine.precision], sort_keys=True)


def _with_encoders(config: RunConfig, swept: Sequence[str]) -> RunConfig:
    for tower in config.pretraining.encoders:
        if f"model.{tower}.path" in swept and not config.sweep.folds:
            raise ConfigError(
                f"sweep.space has model.{tower}.path, and pretraining.encoders puts the pretrained "
                f"{tower} encoder in its place: take {tower} out of pretraining.encoders"
            )
    # A rotated fold holds out customers whom continued pretraining read.
    return unpretrained(config) if config.sweep.folds else pretrained(config)


def _folds(config: RunConfig, data: LabelledCorpus) -> tuple[Fold, ...]:
    from persona_ray.config.learning import EvaluationConfig
    from persona_ray.evaluation.compare import plan_folds
    from persona_ray.training.finetune.examples import check_examples

    train, dev = data.of(Split.TRAIN), data.of(Split.DEV)
    count = config.sweep.folds
    if not count:
        if not dev:
            raise TrainingError(
                "the dev split has no labelled clip to judge a sweep on: import more annotations, "
                "raise splits.dev, or rotate customers: --set sweep.folds=5"
            )
        folds = [Fold(train, dev)]
    else:
        examples = (*train, *dev)
        customers = len({example.customer_id for example in examples})
        if customers < count:
            raise TrainingError(
                f"sweep.folds {count} needs as many labelled customers, there are {customers} in "
                "train and dev: lower sweep.folds, or 0 for the dev split"
            )
        rotation = EvaluationConfig(folds=count, sentence_split=False)
        dealt = plan_folds(examples, rotation, config.splits.salt)[:count]
        folds = [Fold(fold.train, fold.held_out) for fold in dealt]
    for fold in folds:
        check_examples(fold.train, fold.held_out, config.annotation.labels)
    return tuple(folds)
