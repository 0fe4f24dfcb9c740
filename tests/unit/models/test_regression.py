"""N-grams that begin as a logistic regression: before training they answer as scikit-learn's."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from persona_ray.config.learning import GramsConfig, ModelConfig, TextEncoderConfig
from persona_ray.errors import ModelError
from persona_ray.models.bimodal import Batch, BimodalModel
from persona_ray.models.build import build_model
from persona_ray.models.grams import grams
from persona_ray.types import Modality

WORDS = {"delivery": "快递包裹门口", "loans": "贷款利息额度", "ride": "司机上车路口"}


def said(count: int, labels: int, seed: int) -> tuple[list[str], list[str]]:
    """Texts of mixed words, most of them of their label's."""
    drawn = random.Random(seed)
    truth = [sorted(WORDS)[number % labels] for number in range(count)]
    every = "".join(WORDS[label] for label in sorted(WORDS)[:labels])
    texts = ["".join(drawn.choices(WORDS[label] * 2 + every, k=6)) for label in truth]
    return texts, truth


def built(texts: list[str], truth: list[str], features: int = 16) -> BimodalModel:
    text = TextEncoderConfig(
        reads="grams",
        grams=GramsConfig(first=2, later=0, least=1, features=features, start="regression"),
    )
    config = ModelConfig(modality=Modality.TEXT, text=text)
    return build_model(config, tuple(sorted(set(truth))), texts, 8000, 0, truth).eval()


@pytest.mark.parametrize("labels", [2, 3])
@torch.inference_mode()
def test_it_answers_as_scikit_learn_before_it_is_trained(labels: int) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, truth = said(90, labels, seed=0)
    others, _ = said(60, labels, seed=1)
    model = built(texts, truth)
    assert model.text is not None
    logits = model(Batch(None, None, model.text.tokenize(others)))
    theirs = TfidfVectorizer(analyzer=lambda text: list(grams(text, 2)), sublinear_tf=True)
    regression = LogisticRegression(C=3.0)
    regression.fit(theirs.fit_transform(texts), truth)
    expected = regression.predict(theirs.transform(others))
    found = np.array(model.labels)[logits.argmax(dim=-1).numpy()]
    # Their fit goes on for longer: a text that is on the edge may fall to either side.
    assert (found == expected).mean() > 0.95


def test_what_it_cannot_start_from_is_told() -> None:
    texts, truth = said(9, 3, seed=0)
    with pytest.raises(ModelError, match="features 2 < 3 labels"):
        built(texts, truth, features=2)
    config = ModelConfig(modality=Modality.TEXT, text=TextEncoderConfig(reads="grams"))
    lone = config.text.grams.model_copy(update={"start": "regression", "least": 1})
    config = config.model_copy(update={"text": config.text.model_copy(update={"grams": lone})})
    with pytest.raises(ModelError, match="texts of 0 label"):
        build_model(config, ("a", "b"), texts, 8000, 0)
