"""Fine-tuning by Hugging Face `Trainer`, configured as well as it can be for the same model.

Batches of like length, bf16 where the engine computes in it, fused Adam, workers that read beside
a GPU. Freezing is a callback: `requires_grad` is flipped at the threshold, a frozen encoder stays
in evaluation mode and runs under `no_grad`. Needs `accelerate`, which the product does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_pt_utils import LengthGroupedSampler

from persona_ray.launch.workers.job import TrainingJob
from persona_ray.models.bimodal import BimodalModel, Encoded
from persona_ray.training.context import PlainContext
from persona_ray.training.engine.base import computes_in
from persona_ray.training.feed import Course
from persona_ray.training.finetune.classifier import (
    Classifier,
    groups_of,
    phase_of,
    rates_of,
    set_phase,
)
from persona_ray.training.finetune.encode import Pass, encode_once
from persona_ray.training.finetune.history import Phase
from persona_ray.training.finetune.inputs import LabelledClips, tokens_of
from persona_ray.training.finetune.metrics import Scores, score

INSTALL = "uv pip install accelerate==1.15.0"


def check_peer() -> None:
    """Ends the program where `Trainer` cannot run."""
    if find_spec("accelerate") is None:
        raise SystemExit(f"error: Hugging Face Trainer needs accelerate: {INSTALL}")


@dataclass(frozen=True)
class Trained:
    """`loss`: the mean of the last epoch's training losses; `dev` after it; `steps` in all."""

    loss: float
    dev: Scores
    steps: int


class Bimodal(nn.Module):
    """As `Trainer` calls a model: named tensors in, `loss` and `logits` out."""

    accepts_loss_kwargs = False

    def __init__(self, model: BimodalModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        speech = text = None
        if self.model.speech is not None:
            with _without_gradients(self.model.speech.frozen):
                speech = self.model.speech.pooled(inputs["waves"], inputs["lengths"])
        if self.model.text is not None:
            with _without_gradients(self.model.text.frozen):
                text = self.model.text(tokens_of(inputs))
        logits = self.model.classify(Encoded(speech, text)).float()
        return {"loss": F.cross_entropy(logits, inputs["labels"]), "logits": logits}


def _without_gradients(frozen: bool) -> AbstractContextManager[None]:
    return torch.no_grad() if frozen else nullcontext()


class Freezing(TrainerCallback):
    """Frozen epochs first, as the source design has it."""

    def __init__(self, job: TrainingJob, model: BimodalModel) -> None:
        self._job, self._model = job, model

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        epoch = round(state.epoch or 0) + 1
        set_phase(self._model, phase_of(epoch, self._job.training), self._job.training)


class Grouped(Trainer):
    """`train_sampling_strategy="group_by_length"`, with lengths that are known: Trainer itself
    would read every clip for them. Clips to judge come sorted by length."""

    lengths: Sequence[int]

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedSampler:  # noqa: ARG002
        return LengthGroupedSampler(self.args.train_batch_size, lengths=list(self.lengths))

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        return SequentialSampler(eval_dataset)


@dataclass(frozen=True)
class Collator:
    """Positions -> the batch that the product would make of them."""

    clips: LabelledClips

    def __call__(self, positions: list[int]) -> dict[str, Tensor]:
        return self.clips.batch(positions, 0).inputs


def clips_of_an_update(job: TrainingJob, model: BimodalModel) -> int:
    """So many that an epoch has as many updates as the product's, on average."""
    config = job.training
    sizes = LabelledClips(job.train, job.source, model).sizes()
    course = Course("", sizes, config.batch_s, config.micro_batch_s, config.seed, config.epochs)
    return max(1, round(len(sizes) * config.epochs / course.updates))


def standardise(train: LabelledClips, job: TrainingJob) -> None:
    """Where the model standardises the layers of its speech encoder: by one pass over the clips to
    train on, part of the preparation that Trainer leaves to its user."""
    featurizer = train.model.featurizer
    if featurizer is None or not featurizer.standardises:
        return
    how = Pass.alone(job.training.micro_batch_s, PlainContext(), job.engine)
    spoken = encode_once(train, how).speech
    assert spoken is not None
    featurizer.fit(spoken)


def train_with_trainer(
    job: TrainingJob, model: BimodalModel, folder: Path, readers: int, saves: bool = True
) -> Trained:
    """All epochs of `job`, judged on its dev clips after each; a checkpoint in `folder` after each,
    where it `saves`. `readers`: processes that read clips beside the training."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    config = job.training
    # Batches of like length in judging, too.
    dev = sorted(job.dev, key=lambda example: -example.duration_s)
    all_clips = LabelledClips([*job.train, *dev], job.source, model)
    standardise(LabelledClips(job.train, job.source, model), job)
    clips = clips_of_an_update(job, model)
    steps_of_epoch = -(-len(job.train) // clips)

    def judged(answer: Any) -> dict[str, float]:
        probabilities = torch.softmax(torch.tensor(answer.predictions).double(), -1).numpy()
        return asdict(score(dev, np.asarray(probabilities), model.labels))

    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=clips,
        per_device_eval_batch_size=clips,
        train_sampling_strategy="group_by_length",
        max_grad_norm=config.max_gradient_norm,
        bf16=computes_in(job.engine, device) == torch.bfloat16,
        use_cpu=device.type == "cpu",
        seed=config.seed,
        dataloader_num_workers=readers,
        dataloader_persistent_workers=readers > 0,
        dataloader_pin_memory=device.type == "cuda",
        eval_strategy="epoch",
        logging_strategy="epoch",
        # One wait for the GPU less in every step.
        logging_nan_inf_filter=False,
        save_strategy="epoch" if saves else "no",
        save_total_limit=2,
        remove_unused_columns=False,
        label_names=["labels"],
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )
    module = Bimodal(model).to(device)
    trainer = Grouped(
        model=module,
        args=arguments,
        data_collator=Collator(all_clips),
        train_dataset=Positions(0, len(job.train)),
        eval_dataset=Positions(len(job.train), len(dev)),
        compute_metrics=judged,
        callbacks=[Freezing(job, model)],
        optimizers=_adam(job, model, steps_of_epoch),
    )
    trainer.lengths = [round(1000 * size) for size in all_clips.sizes()[: len(job.train)]]
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logged = trainer.state.log_history
    loss = [entry["loss"] for entry in logged if "loss" in entry][-1]
    last = [entry for entry in logged if "eval_loss" in entry][-1]
    dev_scores = Scores(**{its.name: last[f"eval_{its.name}"] for its in fields(Scores)})
    return Trained(loss, dev_scores, trainer.state.global_step)


class Positions(torch.utils.data.Dataset[int]):
    """Positions of clips, which the collator reads."""

    def __init__(self, first: int, count: int) -> None:
        self._first, self._count = first, count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, position: int) -> int:
        return self._first + position


def _adam(
    job: TrainingJob, model: BimodalModel, steps_of_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The product's groups and rates, Trainer's own kind of Adam."""
    config = job.training
    # Of all that is ever trained, since Trainer has one optimizer for the whole run.
    set_phase(model, Phase.FULL, config)
    groups = groups_of(Classifier(model))
    adam = torch.optim.AdamW(
        [
            {"params": list(group.parameters.values()), "lr": rate}
            for group, rate in zip(groups, rates_of(groups, config, 1).values(), strict=True)
        ],
        weight_decay=0.0,
        fused=True,
    )
    decayed = torch.optim.lr_scheduler.LambdaLR(
        adam, lambda step: config.decay_rate ** (step // steps_of_epoch)
    )
    return adam, decayed
