"""What is trained, with everything that changes between two phases of training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence, Set
from pathlib import Path

import torch
from torch import nn

from persona_ray.config.learning import TrainingConfig
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.checkpoint import (
    RunIdentity,
    load_moments,
    load_weights,
    read_history,
    save_checkpoint,
)
from persona_ray.training.finetune.feeds import Feed, SpeechVectors, Vectors, speech_of
from persona_ray.training.finetune.history import EpochResult, History, Phase
from persona_ray.training.finetune.metrics import Scores, score
from persona_ray.training.finetune.optimizer import head_optimizer, unfreeze
from persona_ray.training.finetune.parallel import data_parallel
from persona_ray.training.finetune.predict import predict
from persona_ray.training.finetune.vectors import VectorCache, encoded
from persona_ray.types import Example, SampleSource


class Trainee:
    """Model, optimizer, feeds and history of one run; `enter` a phase before training."""

    network: nn.Module
    feed: Feed

    def __init__(
        self,
        model: BimodalModel,
        train: Sequence[Example],
        dev: Sequence[Example],
        source: SampleSource,
        config: TrainingConfig,
        context: TrainContext,
        untrained_speech: SpeechVectors | None,
        vectors: VectorCache | None,
    ) -> None:
        self.model = model.to(context.device)
        self.train, self.dev = train, dev
        self.durations_s = [example.duration_s for example in train]
        index = {label: at for at, label in enumerate(model.labels)}
        self.targets = torch.tensor(
            [index[example.label] for example in train], device=context.device
        )
        self.optimizer = head_optimizer(model, config)
        self.history = History(())
        self._config, self._context = config, context
        self._fresh = Feed(train, source, model, context.device)
        self._fresh_dev = Feed(dev, source, model, context.device)
        self._dev_feed = self._fresh_dev
        self._untrained_speech, self._cache = untrained_speech, vectors
        self._vectors: tuple[Vectors, Vectors] | None = None
        self._phase: Phase | None = None
        self._identity = RunIdentity.of(config, len(train), model.labels)

    def enter(self, phase: Phase) -> None:
        """Set model, feeds and data parallelism up for `phase`, unless it is the present one."""
        if phase == self._phase:
            return
        self._phase = phase
        kept = {"speech", "text"} if phase == Phase.FROZEN else set(self._config.kept_frozen)
        fresh, featurizer = not self.history.epochs, self.model.featurizer
        standardises = fresh and featurizer is not None and featurizer.standardises
        if self._vectors is None and (standardises or kept & _towers(self.model)):
            self._vectors = (self._encoded(self._fresh), self._encoded(self._fresh_dev))
        if (
            fresh
            and featurizer is not None
            and self._vectors
            and self._vectors[0].speech is not None
        ):
            featurizer.fit(self._vectors[0].speech)
        if phase == Phase.FULL:
            unfreeze(self.model, self.optimizer, self._config)
        train, dev = self._vectors or (Vectors(), Vectors())
        self.feed = self._fresh.with_vectors(_only(train, kept))
        self._dev_feed = self._fresh_dev.with_vectors(_only(dev, kept))
        if phase == Phase.FULL:
            self._vectors = None  # the feeds hold what is still needed
        self.network = data_parallel(self.model, self._context)

    def _encoded(self, feed: Feed) -> Vectors:
        if not feed.examples:
            return Vectors()
        known = self._untrained_speech
        if known is not None and self.model.speech is not None:
            feed = feed.with_vectors(speech_of(feed.examples, known))
        return encoded(feed, self._config.batch_s, self._context, self._cache)

    def judge(self) -> Scores | None:
        """Scores of the whole dev split on every worker, each having judged its share; None for
        an empty one."""
        if not self.dev:
            return None
        probabilities = predict(
            self.network, self._dev_feed, self.dev, self._config.batch_s, self._context
        )
        return score(self.dev, probabilities, self.model.labels)

    def restore(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        folder = self._context.restore()
        if folder is None:
            return
        self.history = read_history(folder, self._identity)
        load_weights(folder, self.model)
        if self.history.last.phase == Phase.FULL:
            self.enter(Phase.FULL)
        load_moments(folder, self.model, self.optimizer)

    def report(self, result: EpochResult) -> None:
        metrics = {"epoch": result.epoch, "loss": result.loss}
        if result.dev is not None:
            metrics |= {"dev_loss": result.dev.loss, "dev_accuracy": result.dev.clip_accuracy}
        if self._context.rank > 0:
            self._context.report(metrics, None)
            return
        with tempfile.TemporaryDirectory(prefix="persona-ray-") as folder:
            save_checkpoint(Path(folder), self.model, self.optimizer, self.history, self._identity)
            self._context.report(metrics, Path(folder))


def _towers(model: BimodalModel) -> set[str]:
    towers = {"speech": model.speech, "text": model.text}
    return {name for name, tower in towers.items() if tower is not None}


def _only(vectors: Vectors, towers: Set[str]) -> Vectors:
    return Vectors(
        speech=vectors.speech if "speech" in towers else None,
        text=vectors.text if "text" in towers else None,
    )
