"""What each modality is worth: every customer is held out once, by rotation.

Customers are dealt to K folds, as many of each label to each. For each arm (text, speech, both) a
model learns from K - 1 folds and answers for the customers of the last, K times over, so that
every clip is answered once by a model that never heard its speaker. One more arm deals clips
instead of customers: what it gains is what a split by sentence leaks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from persona_ray.asr.text import normalise
from persona_ray.config.learning import EvaluationConfig, ModelConfig, TrainingConfig
from persona_ray.corpus.examples import customer_labels
from persona_ray.errors import TrainingError
from persona_ray.evaluation.scores import Prediction
from persona_ray.types import Example, Modality, SampleSource

if TYPE_CHECKING:
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.training.finetune.history import History
    from persona_ray.training.finetune.inputs import SpeechVectors
    from persona_ray.training.finetune.vectors import VectorCache

# Folds that are fitted for the split by sentence: its clips are many, and it is no result.
SENTENCE_FOLDS = 2


class FoldUnit(StrEnum):
    """What is dealt to folds."""

    CUSTOMER = "customer"
    SENTENCE = "sentence"


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to train that is compared."""

    modality: Modality
    unit: FoldUnit


@dataclass(frozen=True, slots=True)
class ArmPredictions:
    """Answers of an arm for clips that were held out, those of all its folds together."""

    arm: Arm
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Fold:
    """One model to fit: learn from `train`, answer for `held_out`."""

    arm: Arm
    number: int
    train: tuple[Example, ...]
    held_out: tuple[Example, ...]


def plan_folds(examples: Sequence[Example], config: EvaluationConfig, salt: str) -> list[Fold]:
    """All models to fit, those that take longest first; none for `config.folds` = 0.

    Raises TrainingError for fewer customers than folds.
    """
    if config.folds == 0:
        return []
    if config.folds == 1:
        raise TrainingError("evaluation.folds 1 leaves nothing to learn from: give 0 or at least 2")
    by_customer = deal_customers(examples, config.folds, salt)
    folds = [
        _customer_fold(Arm(modality, FoldUnit.CUSTOMER), number, examples, by_customer)
        for modality in (Modality.BOTH, Modality.SPEECH, Modality.TEXT)
        for number in range(config.folds)
    ]
    if config.sentence_split:
        by_clip = deal_clips(examples, config.folds, salt)
        arm = Arm(Modality.BOTH, FoldUnit.SENTENCE)
        leaking = [
            Fold(
                arm,
                number,
                tuple(e for e in examples if by_clip[e.clip_id] != number),
                tuple(e for e in examples if by_clip[e.clip_id] == number),
            )
            for number in range(min(SENTENCE_FOLDS, config.folds))
        ]
        folds = [*folds[: config.folds], *leaking, *folds[config.folds :]]
    return folds


def deal_customers(examples: Sequence[Example], folds: int, salt: str) -> dict[str, int]:
    """The fold of each customer: for each label in turn the customers, in the order of a salted
    hash, go round the folds. Raises TrainingError for fewer customers than folds."""
    label_of = customer_labels((example.customer_id, example.label) for example in examples)
    if len(label_of) < folds:
        raise TrainingError(
            f"evaluation.folds {folds} needs as many labelled customers, there are "
            f"{len(label_of)}: lower evaluation.folds, or 0 to leave the comparison out"
        )
    order = sorted(label_of, key=lambda who: (label_of[who], _hash(salt, who)))
    return {customer: at % folds for at, customer in enumerate(order)}


def deal_clips(examples: Sequence[Example], folds: int, salt: str) -> dict[str, int]:
    """The fold of each clip, alike: by label, in the order of a salted hash."""
    order = sorted(examples, key=lambda e: (e.label, _hash(salt, e.clip_id)))
    return {example.clip_id: at % folds for at, example in enumerate(order)}


def fit_and_predict(
    fold: Fold,
    model: ModelConfig,
    training: TrainingConfig,
    labels: Sequence[str],
    source: SampleSource,
    untrained_speech: SpeechVectors | None = None,
) -> tuple[list[Prediction], History]:
    """Fit one model in this process and answer for the held-out clips.

    `untrained_speech` of all clips, by `hear`: no fold then runs a frozen speech encoder.
    """
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.encode import Pass
    from persona_ray.training.finetune.inputs import LabelledClips, speech_of
    from persona_ray.training.finetune.predict import predict_as_is
    from persona_ray.training.finetune.run import Known, fit

    fitted = _build(fold.arm.modality, fold.train, model, training, labels, source)
    context = PlainContext()
    known = Known(untrained_speech=untrained_speech)
    history = fit(fitted, fold.train, [], source, training, context, known=known)
    clips = LabelledClips(fold.held_out, source, fitted)
    untouched = "speech" in training.kept_frozen or training.frozen_epochs == training.epochs
    if untrained_speech is not None and fitted.speech is not None and untouched:
        clips = clips.with_vectors(speech_of(fold.held_out, untrained_speech))
    rows = predict_as_is(clips, Pass.alone(training.micro_batch_s, context))
    return [
        Prediction(
            example.clip_id,
            example.customer_id,
            example.label,
            dict(zip(labels, row.tolist(), strict=True)),
        )
        for example, row in zip(fold.held_out, rows, strict=True)
    ], history


def hear(
    examples: Sequence[Example],
    model: ModelConfig,
    training: TrainingConfig,
    labels: Sequence[str],
    source: SampleSource,
    vectors: VectorCache | None = None,
) -> SpeechVectors:
    """What the untrained speech encoder says of `examples`: the same in every fold and arm, since
    its weights come from its folder or the seed, not from the clips. What `vectors` has is not
    heard again."""
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.encode import Pass
    from persona_ray.training.finetune.inputs import LabelledClips
    from persona_ray.training.finetune.vectors import heard

    clips = LabelledClips(
        examples, source, _build(Modality.SPEECH, examples, model, training, labels, source)
    )
    return heard(clips, Pass.alone(training.micro_batch_s, PlainContext()), vectors)


def gather_arms(
    folds: Sequence[Fold], answers: Mapping[int, Sequence[Prediction]]
) -> list[ArmPredictions]:
    """Join the answers (by position in `folds`) of each arm, arms in the order of `folds`."""
    joined: dict[Arm, list[Prediction]] = {}
    for at, fold in enumerate(folds):
        joined.setdefault(fold.arm, []).extend(answers[at])
    return [ArmPredictions(arm, tuple(rows)) for arm, rows in joined.items()]


def _build(
    modality: Modality,
    train: Sequence[Example],
    model: ModelConfig,
    training: TrainingConfig,
    labels: Sequence[str],
    source: SampleSource,
) -> BimodalModel:
    from persona_ray.models.build import build_model

    return build_model(
        model.model_copy(update={"modality": modality}),
        tuple(labels),
        [example.text for example in train],
        source.sample_rate_hz,
        training.seed,
    )


def _customer_fold(
    arm: Arm, number: int, examples: Sequence[Example], fold_of: Mapping[str, int]
) -> Fold:
    held_out = tuple(e for e in examples if fold_of[e.customer_id] == number)
    # A sentence that a held-out customer says too would be learned by heart.
    known = {normalise(example.text) for example in held_out}
    train = tuple(
        e for e in examples if fold_of[e.customer_id] != number and normalise(e.text) not in known
    )
    return Fold(arm, number, train, held_out)


def _hash(salt: str, name: str) -> str:
    return hashlib.sha256(f"{salt}\0folds\0{name}".encode()).hexdigest()
