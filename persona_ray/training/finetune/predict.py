"""What a model says of many clips."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from persona_ray.config.pretraining import EngineConfig
from persona_ray.training.agreement import Agreement
from persona_ray.training.context import Worker
from persona_ray.training.finetune.classifier import Classifier
from persona_ray.training.finetune.encode import Answer, inference, pass_over
from persona_ray.training.finetune.inputs import LabelledClips


def predict(
    clips: LabelledClips, batch_s: float, answer: Answer, worker: Worker, agreement: Agreement
) -> NDArray[np.float64]:
    """Probabilities (clips, labels), the same on every worker; `answer` gives `logits`."""
    logits = pass_over(clips, batch_s, answer, worker, agreement)["logits"]
    return np.asarray(torch.softmax(logits.double(), dim=-1).numpy())


def predict_alone(
    clips: LabelledClips, batch_s: float, engine: EngineConfig, worker: Worker
) -> NDArray[np.float64]:
    """`predict` in one process, by the model as it is."""
    classifier = Classifier(clips.model.to(worker.device)).eval()
    with inference(engine, worker.device):
        return predict(clips, batch_s, classifier, worker, Agreement(1))
