"""A whole run: model and clips to trained weights, checkpoints and a history."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.objectives.classification import TERM
from persona_ray.training.agreement import Agreement
from persona_ray.training.checkpoint import (
    BEST,
    WEIGHTS,
    put_weights,
    read_snapshot,
    write_checkpoint,
)
from persona_ray.training.context import TrainContext
from persona_ray.training.engine.base import Engine, Snapshot, build_engine
from persona_ray.training.feed import Course, Feed
from persona_ray.training.finetune.classifier import (
    Classifier,
    class_weights,
    groups_of,
    set_phase,
)
from persona_ray.training.finetune.encode import Pass
from persona_ray.training.finetune.examples import check_examples
from persona_ray.training.finetune.front_cache import FrontCache
from persona_ray.training.finetune.fronts import with_fronts
from persona_ray.training.finetune.history import EpochResult, History, Phase
from persona_ray.training.finetune.inputs import (
    LabelledClips,
    SpeechVectors,
    Vectors,
    speech_of,
)
from persona_ray.training.finetune.loop import Hooks, ended, run_phase
from persona_ray.training.finetune.metrics import Scores, score
from persona_ray.training.finetune.outcome import metrics_of
from persona_ray.training.finetune.predict import predict
from persona_ray.training.finetune.progress import Progress, identity_of
from persona_ray.training.finetune.vectors import VectorCache, encoded
from persona_ray.training.run_folder import RunFolder
from persona_ray.training.update import Updater
from persona_ray.types import Example, SampleSource


@dataclass(frozen=True, slots=True)
class Start:
    """A run after some frozen epochs, which other runs may go on from. Picklable."""

    identity: Mapping[str, object]
    progress: Progress
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Known:
    """What need not be computed again.

    `untrained_speech`: vectors of all clips by the speech encoder as it is now; `vectors`: those of
    the train and of the dev clips by both towers. `cache` has those of earlier runs, and takes this
    one's. `start`: where another run with the same frozen epochs was.
    """

    untrained_speech: SpeechVectors | None = None
    vectors: tuple[Vectors, Vectors] | None = None
    cache: VectorCache | None = None
    start: Start | None = None


def _silent(_result: EpochResult) -> None:
    return


def fit(
    model: BimodalModel,
    train: Sequence[Example],
    dev: Sequence[Example],
    source: SampleSource,
    config: TrainingConfig,
    context: TrainContext,
    on_epoch: Callable[[EpochResult], None] = _silent,
    *,
    engine: EngineConfig | None = None,
    known: Known | None = None,
    on_frozen: Callable[[int, Start], None] | None = None,
) -> History:
    """Train `model` on `train`, judging it on `dev` (may be empty) after each epoch.

    Every worker calls this with the same model and the same examples in the same order. Goes on
    from `context.restore()`. `model` is trained in place by the torch engine; after DeepSpeed's it
    is of no further use, and `load_finetuned` takes the weights out of the last checkpoint.
    `on_epoch` is called on every worker after each epoch, `on_frozen` on the first with the number
    of each frozen epoch. A stop that any rank was asked for leaves a checkpoint and a history that
    has not `ended`. Raises TrainingError where there is nothing to learn from.
    """
    check_examples(train, dev, model.labels)
    agreement = Agreement(context.world_size)
    run = _Run(
        model, train, dev, source, config, context, agreement, engine or EngineConfig(),
        known or Known(), on_epoch, on_frozen,
    )  # fmt: skip
    try:
        history = run.run()
    finally:
        agreement.close()
    context.finish()
    return history


class _Run:
    def __init__(
        self,
        model: BimodalModel,
        train: Sequence[Example],
        dev: Sequence[Example],
        source: SampleSource,
        config: TrainingConfig,
        context: TrainContext,
        agreement: Agreement,
        engine: EngineConfig,
        known: Known,
        on_epoch: Callable[[EpochResult], None],
        on_frozen: Callable[[int, Start], None] | None,
    ) -> None:
        if context.device.type == "cuda":
            torch.cuda.set_device(context.device)
        self._model = model.to(context.device)
        self._config = config
        self._context, self._agreement, self._engine = context, agreement, engine
        self._pass = Pass(config.micro_batch_s, engine, context, agreement)
        self._known = known
        self._on_epoch, self._on_frozen = on_epoch, on_frozen
        self._train = LabelledClips(train, source, model)
        self._dev = LabelledClips(dev, source, model)
        weights = class_weights(config, model.labels, [example.label for example in train])
        self._classifier = Classifier(model, weights, config.focal_gamma)
        self._course = Course(
            "fine-tuning",
            self._train.sizes(),
            config.batch_s,
            config.micro_batch_s,
            config.seed,
            config.epochs,
        )
        data = _digest_of([*train, *dev])
        self._identity = identity_of(config, model.labels, data)
        self._frozen_identity = identity_of(config, model.labels, data, frozen_alone=True)
        # Adam's state at the end of the phase before, or of the checkpoint.
        self._state: Snapshot | None = None
        self._vectors = known.vectors

    def run(self) -> History:
        progress = self._restored()
        for phase, until in (
            (Phase.FROZEN, self._config.frozen_epochs),
            (Phase.FULL, self._config.epochs),
        ):
            if progress.history.ended or progress.stopped:
                break
            if progress.update < self._course.end(until):
                progress = self._phase(phase, until, progress)
        return progress.history

    def _restored(self) -> Progress:
        folder = self._context.restore()
        start = self._known.start
        if folder is not None:
            progress = Progress.read(folder, self._identity)
            set_phase(self._model, progress.phase, self._config)
            self._state = read_snapshot(folder, self._classifier)
        elif start is not None:
            behind = len(start.progress.history.epochs) <= self._config.frozen_epochs
            if dict(start.identity) != self._frozen_identity or not behind:
                raise TrainingError("a start with other frozen epochs was given: report this")
            progress, self._state = start.progress, start.snapshot
            set_phase(self._model, progress.phase, self._config)
        else:
            return Progress()
        put_weights(self._classifier, self._state.weights)
        history = progress.history
        if history.epochs:
            # The configuration may have been given more epochs, or more patience, since.
            progress = replace(
                progress, history=replace(history, ended=ended(history, self._config))
            )
        return progress

    def _phase(self, phase: Phase, until: int, progress: Progress) -> Progress:
        config, context = self._config, self._context
        set_phase(self._model, phase, config)
        train, dev = self._inputs(phase, fresh=progress.update == 0)
        groups = groups_of(self._classifier)
        # The head alone needs nothing shared out, and no block of it to be run again.
        engine = (
            EngineConfig(precision=self._engine.precision)
            if phase == Phase.FROZEN
            else self._engine
        )
        running = build_engine(self._classifier, groups, config.max_gradient_norm, engine, context)
        try:
            if self._state is not None:
                running.restore(self._state.moments, self._state.steps)
                self._state = None  # frees twice the model's size
            updater = Updater(
                "fine-tuning", {TERM: 1.0}, config.seed, running, self._agreement, context
            )
            hooks = Hooks(
                judge=lambda: self._judge(dev, running),
                save=lambda now: self._save(now, running),
                tell=self._on_epoch,
                stop_requested=context.stop_requested,
            )
            with Feed(train, self._course, context, progress.update, until) as feed:
                progress = run_phase(
                    config, self._course, feed, updater, groups, progress, hooks,
                    sum(train.sizes()),
                )  # fmt: skip
            if phase == Phase.FROZEN:
                self._state = self._handed_over(running)
        finally:
            running.close()
        return progress

    def _inputs(self, phase: Phase, fresh: bool) -> tuple[LabelledClips, LabelledClips]:
        """Train and dev clips, with the vectors of the towers that are frozen now."""
        frozen: set[str] = set(self._config.kept_frozen)
        if phase == Phase.FROZEN:
            frozen = {"speech", "text"}
        towers = {name for name in ("speech", "text") if getattr(self._model, name) is not None}
        featurizer = self._model.featurizer
        standardises = fresh and featurizer is not None and featurizer.standardises
        if self._vectors is None and (standardises or frozen & towers):
            self._vectors = (self._encoded(self._train), self._encoded(self._dev))
        train, dev = self._vectors or (Vectors(), Vectors())
        if fresh and featurizer is not None and train.speech is not None:
            featurizer.fit(train.speech)
        if phase == Phase.FULL:
            self._vectors = None  # the clips hold what is still needed
        clips = (
            self._train.with_vectors(_only(train, frozen)),
            self._dev.with_vectors(_only(dev, frozen)),
        )
        hears = "speech" in towers - frozen
        cache = self._known.cache
        if not (hears and self._config.cache_front and cache):
            return clips
        return with_fronts(clips, self._pass, FrontCache(cache.folder / "front"))

    def _encoded(self, clips: LabelledClips) -> Vectors:
        if not clips.examples:
            return Vectors()
        known = self._known.untrained_speech
        if known is not None and self._model.speech is not None:
            clips = clips.with_vectors(speech_of(clips.examples, known))
        return encoded(clips, self._pass, self._known.cache)

    def _judge(self, dev: LabelledClips, running: Engine) -> Scores | None:
        if not dev.examples:
            return None
        probabilities = predict(dev, running.answer, self._pass)
        return score(dev.examples, probabilities, self._model.labels)

    def _save(self, progress: Progress, running: Engine) -> None:
        metrics = {"update": float(progress.update)}
        if progress.history.epochs:
            metrics |= metrics_of(progress.history.last)
        snapshot = running.snapshot()
        if snapshot is None:
            self._context.save(metrics, None)
            return
        history = progress.history
        best = history.best
        # Between two epochs `loss` holds a sum.
        just_judged = best is not None and best is history.last and not progress.clips
        if not progress.clips and history.last.phase == Phase.FROZEN and self._on_frozen:
            start = Start(self._frozen_identity, progress, snapshot)
            self._on_frozen(history.last.epoch, start)

        def write(folder: Path) -> None:
            before = RunFolder(folder.parent).newest()
            file = folder / WEIGHTS if just_judged else before and before / BEST
            known = best is not None and file is not None
            write_checkpoint(
                folder, snapshot, progress.as_json(), self._identity, file if known else None
            )

        self._context.save(metrics, write)

    def _handed_over(self, running: Engine) -> Snapshot | None:
        """Adam's state of the frozen epochs for the next phase, on every rank."""
        return self._agreement.gathered(running.snapshot())[0]


def _digest_of(examples: Sequence[Example]) -> str:
    rows = [asdict(example) for example in examples]
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def _only(vectors: Vectors, towers: set[str]) -> Vectors:
    return Vectors(
        speech=vectors.speech if "speech" in towers else None,
        text=vectors.text if "text" in towers else None,
    )
