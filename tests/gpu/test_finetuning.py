"""Fine-tuning on a GPU gives the numbers of the CPU: a frozen epoch, then one with the encoders."""

from __future__ import annotations

import pytest
import torch

from persona_ray.training.context import PlainContext
from persona_ray.training.finetune.history import History, Phase
from persona_ray.training.finetune.run import fit
from persona_ray.types import Split
from tests.unit.training.toys import Tones, examples, still, tiny_model, training_config

pytestmark = pytest.mark.gpu


def tuned(device: str) -> History:
    # Dropout draws other numbers on a GPU.
    model = still(tiny_model())
    context = PlainContext(device=torch.device(device))
    dev = examples(9, Split.DEV, first=60)
    return fit(model, examples(40), dev, Tones(), training_config(2, 1), context)


def test_an_epoch_of_each_phase() -> None:
    cpu, gpu = tuned("cpu"), tuned("cuda")
    assert [epoch.phase for epoch in gpu.epochs] == [Phase.FROZEN, Phase.FULL]
    for mine, its in zip(gpu.epochs, cpu.epochs, strict=True):
        assert mine.loss == pytest.approx(its.loss, abs=5e-3)
        assert mine.dev is not None
        assert its.dev is not None
        assert mine.dev.loss == pytest.approx(its.dev.loss, abs=2e-2)
