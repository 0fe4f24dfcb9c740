"""What of the hardware the loop sees: number formats and the few collective operations."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from persona_ray.models.bimodal import BimodalModel, Encoded
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.feeds import Inputs

T = TypeVar("T")


class Classifier(nn.Module):
    """The model behind one `forward`, as DDP needs it, for fresh and cached towers alike."""

    def __init__(self, model: BimodalModel) -> None:
        super().__init__()
        self.model = model

    def encode(self, inputs: Inputs) -> Encoded:
        """Run the towers that have no cached vectors."""
        speech, text, batch = inputs.cached.speech, inputs.cached.text, inputs.batch
        if batch is not None and batch.waves is not None and self.model.speech is not None:
            assert batch.lengths is not None
            speech = self.model.speech.pooled(batch.waves, batch.lengths)
        if batch is not None and batch.tokens is not None and self.model.text is not None:
            text = self.model.text(batch.tokens)
        return Encoded(speech, text)

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits (batch, labels)."""
        return self.model.classify(self.encode(inputs))


def data_parallel(model: BimodalModel, context: TrainContext) -> nn.Module:
    """Average gradients over the workers. Wrap anew whenever another set of parameters is
    trained: DDP lays out its buckets once."""
    classifier = Classifier(model)
    if context.world_size == 1:
        return classifier
    # Encoders bring parameters that classification never uses (a masking vector, a pooler).
    return nn.parallel.DistributedDataParallel(classifier, find_unused_parameters=True)


def total(value: float, context: TrainContext) -> float:
    """The sum of `value` over the workers, the same number on each."""
    if context.world_size == 1:
        return value
    tensor = torch.tensor([value], dtype=torch.float64, device=context.device)
    dist.all_reduce(tensor)
    return float(tensor.item())


def gathered(value: T, context: TrainContext) -> list[T]:
    """`value` of every worker in order of rank, on every worker."""
    if context.world_size == 1:
        return [value]
    values: list[T | None] = [None] * context.world_size
    dist.all_gather_object(values, value)
    return [item for item in values if item is not None]


def precision(device: torch.device) -> torch.autocast:
    """bf16 where the hardware computes in it, float32 elsewhere."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=computes_bf16(device))


def computes_bf16(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.is_bf16_supported()
