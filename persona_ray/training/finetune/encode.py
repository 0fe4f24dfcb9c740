"""One pass of frozen encoders in all, however many epochs they are frozen.

Weighting the layers and the mean over frames are both linear, so they commute: the mean of each
layer is kept (layers x features numbers a clip), and the frozen epochs learn the layer weights
and the head from these. Vectors are float32 and in memory on every worker: 1.5 kB a clip for the
small encoder, 98 kB for 24 layers of 1024.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from persona_ray.config.engine import EngineConfig
from persona_ray.training.agreement import Agreement
from persona_ray.training.context import Worker
from persona_ray.training.engine.base import computes_in
from persona_ray.training.finetune.classifier import Classifier
from persona_ray.training.finetune.inputs import LabelledClips, Vectors
from persona_ray.training.plan import plan_passes

Answer = Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Pass:
    """How clips pass a model once: in batches of `batch_s` audio seconds, computed as `engine`
    says, each worker its share, which `agreement` hands to the others."""

    batch_s: float
    engine: EngineConfig
    worker: Worker
    agreement: Agreement

    @classmethod
    def alone(cls, batch_s: float, worker: Worker, engine: EngineConfig | None = None) -> Pass:
        """In one process."""
        return cls(batch_s, engine or EngineConfig(), worker, Agreement(1))

    @property
    def products_in(self) -> torch.dtype:
        """The number format of matrix products."""
        return computes_in(self.engine, self.worker.device)

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients, and matrix products in the engine's format."""
        in_bf16 = self.products_in == torch.bfloat16
        kind = self.worker.device.type
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, enabled=in_bf16):
            yield


def encode_once(clips: LabelledClips, how: Pass) -> Vectors:
    """Vectors of every clip, by the towers in evaluation mode; each worker encodes its share and
    receives the others'. Towers whose vectors `clips` has already do not run again."""
    model = clips.model.to(how.worker.device)
    classifier = Classifier(model).eval()

    def answer(inputs: dict[str, Tensor]) -> Mapping[str, Tensor]:
        encoded = classifier.encode(inputs)
        parts = {"speech": encoded.speech, "text": encoded.text}
        return {name: part for name, part in parts.items() if part is not None}

    with how.inference():
        rows = pass_over(clips, answer, how)
    return Vectors(speech=rows.get("speech"), text=rows.get("text"))


def pass_over(clips: LabelledClips, answer: Answer, how: Pass) -> dict[str, Tensor]:
    """What `answer` says of every clip, by name (clips, ...) float32 on the CPU, the same on every
    worker. Every worker calls `answer` as often as the others."""
    mine: dict[int, dict[str, NDArray[np.float32]]] = {}
    worker = how.worker
    for positions in plan_passes(clips.sizes(), how.batch_s, worker.world_size)[worker.rank]:
        inputs = clips.inputs(positions)
        on_device = {name: value.to(worker.device) for name, value in inputs.items()}
        outputs = {name: rows.float().cpu().numpy() for name, rows in answer(on_device).items()}
        for at, position in enumerate(positions):
            mine[position] = {name: rows[at] for name, rows in outputs.items()}
    everyone = {at: row for part in how.agreement.gathered(mine) for at, row in part.items()}
    if not everyone:
        return {}
    ordered = [everyone[at] for at in range(len(clips.examples))]
    return {name: torch.tensor(np.stack([row[name] for row in ordered])) for name in ordered[0]}
