"""The bimodal model as the training loop calls it, and what of it is trained when."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import ConfigError
from persona_ray.models.bimodal import BimodalModel, Encoded
from persona_ray.objectives.classification import TERM, summed_focal_loss
from persona_ray.training.engine.base import Group, trained
from persona_ray.training.finetune.history import Phase
from persona_ray.training.finetune.inputs import tokens_of

HEAD = "head"
# Of a parameter in a Hugging Face tower: `encoder.layers.3.attention...`, `encoder.layer.3...`.
_BLOCK = re.compile(r"\.layers?\.(\d+)\.")


class Classifier(nn.Module):
    """Inputs as `LabelledClips` makes them in; `logits` (batch, labels) out, and where labels are
    given the loss term."""

    class_weights: Tensor | None

    def __init__(
        self,
        model: BimodalModel,
        class_weights: Sequence[float] | None = None,
        focal_gamma: float = 0.0,
    ) -> None:
        """`class_weights` in the order of the model's labels."""
        super().__init__()
        self.model = model
        self.focal_gamma = focal_gamma
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def encode(self, inputs: Mapping[str, Tensor]) -> Encoded:
        """Run the towers whose vectors are not given."""
        speech, text, tokens = inputs.get("speech"), inputs.get("text"), tokens_of(inputs)
        if speech is None and self.model.speech is not None:
            if "front" in inputs:
                speech = self.model.speech.pooled_from(inputs["front"], inputs["lengths"])
            else:
                speech = self.model.speech.pooled(inputs["waves"], inputs["lengths"])
        if text is None and self.model.text is not None:
            text = self.model.text(tokens)
        return Encoded(speech, text)

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logits = self.model.classify(self.encode(inputs)).float()
        outputs = {"logits": logits}
        labels = inputs.get("labels")
        if labels is not None:
            outputs[f"{TERM}.loss"] = summed_focal_loss(
                logits, labels, self.class_weights, self.focal_gamma
            )
            outputs[f"{TERM}.correct"] = (logits.argmax(-1) == labels).sum()
        return outputs


def class_weights(
    config: TrainingConfig, labels: Sequence[str], found: Sequence[str]
) -> list[float] | None:
    """One weight for each of `labels`, or None where all count alike; `found` are those of the
    training clips. Balanced: clips / (labels that occur x clips of the label), so that the mean
    weight of a clip is 1 (King and Zeng 2001, as in scikit-learn).

    Raises ConfigError for a label that is not known or has no weight.
    """
    wanted = config.class_weights
    if wanted == "none":
        return None
    if wanted == "balanced":
        counts = Counter(found)
        return [
            len(found) / (len(counts) * counts[label]) if counts[label] else 1.0 for label in labels
        ]
    if set(wanted) != set(labels):
        differing = ", ".join(sorted(set(wanted) ^ set(labels)))
        raise ConfigError(
            f"training.class_weights must name each label once ({', '.join(labels)}); differing: "
            f"{differing}"
        )
    return [wanted[label] for label in labels]


def phase_of(epoch: int, config: TrainingConfig) -> Phase:
    """`epoch` from 1."""
    return Phase.FROZEN if epoch <= config.frozen_epochs else Phase.FULL


def set_phase(model: BimodalModel, phase: Phase, config: TrainingConfig) -> None:
    """Say what is trained: in the frozen phase layer weights and the fully connected layer alone,
    then the encoders too, but for those in `kept_frozen`."""
    if config.freeze_front and model.speech is not None:
        model.speech.freeze_front()
    model.set_encoders_frozen(True)
    if phase == Phase.FULL:
        for name, tower in (("speech", model.speech), ("text", model.text)):
            if tower is not None and name not in config.kept_frozen:
                tower.set_frozen(False)


def groups_of(classifier: Classifier) -> list[Group]:
    """The head, and of each tower that is trained one group for each depth: `speech.0` is what is
    below the blocks, `speech.1` the first block."""
    groups: dict[str, dict[str, nn.Parameter]] = {HEAD: {}}
    for name, parameter in trained(classifier).items():
        tower = name.split(".")[1]
        group = f"{tower}.{depth_of(name)}" if tower in ("speech", "text") else HEAD
        groups.setdefault(group, {})[name] = parameter
    return [Group(name, parameters) for name, parameters in groups.items()]


def depth_of(name: str) -> int:
    """Of a tower's parameter: 0 below the blocks, from 1 in them."""
    block = _BLOCK.search(name)
    return 0 if block is None else int(block.group(1)) + 1


def rates_of(groups: Sequence[Group], config: TrainingConfig, epoch: int) -> dict[str, float]:
    """Learning rate of each group in `epoch` (from 1): a function of the epoch alone, so that every
    worker and every resumed run has the same. With `layer_decay` d, each block of a tower learns d
    times as fast as the one above it (Howard and Ruder 2018, discriminative fine-tuning)."""
    decay = config.decay_rate ** (epoch - 1)
    encoders = config.encoder_learning_rate or config.learning_rate
    depths = {group.name: _depth(group.name) for group in groups}
    rates = {}
    for name, (tower, depth) in depths.items():
        if tower == HEAD:
            rates[name] = config.learning_rate * decay
            continue
        highest = max(d for t, d in depths.values() if t == tower)
        rates[name] = encoders * decay * config.layer_decay ** (highest - depth)
    return rates


def _depth(group: str) -> tuple[str, int]:
    tower, _, depth = group.partition(".")
    return tower, int(depth or 0)
