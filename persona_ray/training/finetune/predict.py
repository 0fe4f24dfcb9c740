"""What a model says of many clips."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from persona_ray.training.finetune.classifier import Classifier
from persona_ray.training.finetune.encode import Answer, Pass, pass_over
from persona_ray.training.finetune.inputs import LabelledClips


def predict(clips: LabelledClips, answer: Answer, how: Pass) -> NDArray[np.float64]:
    """Probabilities (clips, labels), the same on every worker; `answer` gives `logits`."""
    logits = pass_over(clips, answer, how)["logits"]
    return np.asarray(torch.softmax(logits.double(), dim=-1).numpy())


def predict_as_is(clips: LabelledClips, how: Pass) -> NDArray[np.float64]:
    """`predict` by the model as it is."""
    classifier = Classifier(clips.model.to(how.worker.device)).eval()
    with how.inference():
        return predict(clips, classifier, how)
