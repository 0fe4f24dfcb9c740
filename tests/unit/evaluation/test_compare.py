"""The rotation of folds: who is held out, and what the fitted models answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from persona_ray.config import RunConfig
from persona_ray.config.learning import EvaluationConfig, LaunchConfig
from persona_ray.errors import TrainingError
from persona_ray.evaluation.compare import (
    Arm,
    FoldUnit,
    deal_customers,
    fit_and_predict,
    hear,
    plan_folds,
)
from persona_ray.launch.compare import compare_modalities
from persona_ray.progress import SilentProgress
from persona_ray.types import Example, Modality, Split
from tests.unit.training.toys import LABELS, Tones, examples, model_config, training_config


@st.composite
def corpora(draw: st.DrawFn) -> list[Example]:
    customers = draw(st.lists(st.sampled_from(LABELS), min_size=5, max_size=40))
    return [
        Example(
            clip_id=f"{customer}-{clip}",
            customer_id=f"c{customer}",
            label=label,
            split=Split.TRAIN,
            text=draw(st.sampled_from(["好的", "为什么", "快点", f"{customer}{clip}"])),
            duration_s=1.0,
        )
        for customer, label in enumerate(customers)
        for clip in range(draw(st.integers(1, 3)))
    ]


@given(corpora(), st.integers(2, 5))
def test_every_customer_is_held_out_once_and_heard_nowhere_else(
    corpus: list[Example], count: int
) -> None:
    folds = plan_folds(corpus, EvaluationConfig(folds=count, sentence_split=True), "salt")
    for modality in Modality:
        own = [fold for fold in folds if fold.arm == Arm(modality, FoldUnit.CUSTOMER)]
        assert Counter(e.clip_id for fold in own for e in fold.held_out) == Counter(
            e.clip_id for e in corpus
        )
        for fold in own:
            assert not {e.customer_id for e in fold.train} & {e.customer_id for e in fold.held_out}
            assert not {e.text for e in fold.train} & {e.text for e in fold.held_out}
    leaking = [fold for fold in folds if fold.arm.unit == FoldUnit.SENTENCE]
    assert len(leaking) == 2
    for fold in leaking:
        assert len(fold.train) + len(fold.held_out) == len(corpus)
        assert not set(fold.train) & set(fold.held_out)


@given(corpora(), st.integers(2, 5))
def test_folds_are_even_in_customers_and_in_each_label(corpus: list[Example], count: int) -> None:
    fold_of = deal_customers(corpus, count, "salt")
    label_of = {example.customer_id: example.label for example in corpus}
    for label in (*LABELS, None):
        sizes = Counter(dict.fromkeys(range(count), 0))
        sizes.update(fold for who, fold in fold_of.items() if label in (None, label_of[who]))
        assert max(sizes.values()) - min(sizes.values()) <= 1
    assert deal_customers(corpus[::-1], count, "salt") == fold_of


def test_few_customers_and_one_fold_are_errors() -> None:
    with pytest.raises(TrainingError, match="lower evaluation"):
        plan_folds(examples(6), EvaluationConfig(folds=5), "salt")
    with pytest.raises(TrainingError, match="at least 2"):
        plan_folds(examples(6), EvaluationConfig(folds=1), "salt")
    assert plan_folds(examples(6), EvaluationConfig(folds=0), "salt") == []


def test_a_fold_answers_for_customers_it_never_heard() -> None:
    # Each clip of its own words but for the character that gives the label away.
    corpus = [replace(e, text=f"{e.text}{at}") for at, e in enumerate(examples(72))]
    folds = plan_folds(corpus, EvaluationConfig(folds=3, sentence_split=False), "salt")
    training = training_config(8, 2)
    for fold in (folds[0], folds[3], folds[6]):
        answers, history = fit_and_predict(fold, model_config(), training, LABELS, Tones())
        assert [answer.clip_id for answer in answers] == [e.clip_id for e in fold.held_out]
        assert all(sum(a.probabilities.values()) == pytest.approx(1) for a in answers)
        right = sum(
            max(a.probabilities, key=a.probabilities.__getitem__) == a.label for a in answers
        )
        assert right / len(answers) > 0.6, (fold.arm, history.last)


def test_the_plain_comparison_joins_the_folds_of_each_arm() -> None:
    corpus = examples(24)
    config = RunConfig(
        model=model_config(),
        training=training_config(1, 1),
        launch=LaunchConfig(backend="plain", cpus_per_worker=1),
        evaluation=EvaluationConfig(folds=2),
    )
    arms = compare_modalities(config, corpus, Tones(), SilentProgress())
    assert [(arm.arm.modality, arm.arm.unit) for arm in arms] == [
        (Modality.BOTH, FoldUnit.CUSTOMER),
        (Modality.BOTH, FoldUnit.SENTENCE),
        (Modality.SPEECH, FoldUnit.CUSTOMER),
        (Modality.TEXT, FoldUnit.CUSTOMER),
    ]
    for arm in arms:
        assert {p.clip_id for p in arm.predictions} == {e.clip_id for e in corpus}


def test_speech_heard_once_for_all_folds_changes_nothing() -> None:
    corpus, source = examples(48), Tones()
    for kept in ((), ("speech",)):
        training = training_config(4, 2).model_copy(update={"kept_frozen": kept})
        heard = hear(corpus, model_config(), training, LABELS, source)
        fold = plan_folds(corpus, EvaluationConfig(folds=3), "salt")[0]
        alone, history = fit_and_predict(fold, model_config(), training, LABELS, source)
        shared, same = fit_and_predict(fold, model_config(), training, LABELS, source, heard)
        assert [e.loss for e in same.epochs] == pytest.approx(
            [e.loss for e in history.epochs], abs=1e-4
        )
        for one, other in zip(alone, shared, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-3)
