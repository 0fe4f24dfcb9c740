"""Fine-tune a model in one worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.feeds import SpeechVectors
from persona_ray.training.finetune.history import EpochResult, History
from persona_ray.training.finetune.loop import run_epochs
from persona_ray.training.finetune.trainee import Trainee
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Example, SampleSource


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
    untrained_speech: SpeechVectors | None = None,
    vectors: VectorCache | None = None,
) -> History:
    """Train `model` in place on `train`, judging it on `dev` (may be empty) after each epoch.

    Every worker calls this with the same model and the same examples in the same order. Goes on
    from `context.restore()`. `on_epoch` is called on every worker after each epoch.
    `untrained_speech` are the vectors of all clips by the speech encoder as it is now, where they
    are known already: the frozen epochs then hear nothing. `vectors` has those of earlier runs, and
    takes this one's. Raises TrainingError where there is nothing to learn from.
    """
    check_examples(train, dev, model.labels)
    trainee = Trainee(model, train, dev, source, config, context, untrained_speech, vectors)
    trainee.restore()
    return run_epochs(trainee, config, context, on_epoch)


def check_examples(train: Sequence[Example], dev: Sequence[Example], labels: Sequence[str]) -> None:
    """Raise TrainingError where `labels` cannot be learned from `train`."""
    for example in (*train, *dev):
        if example.label not in labels:
            raise TrainingError(
                f"clip {example.clip_id} has the label '{example.label}', which the model does not "
                f"know ({', '.join(labels)}): add it to annotation.labels or relabel the clip"
            )
    found = {example.label for example in train}
    if len(found) < 2:
        raise TrainingError(
            f"the train split has {len(train)} labelled clips of {len(found)} label(s): training "
            "needs at least two labels; import annotations (`persona-ray annotate import`) or "
            "raise splits.train"
        )
