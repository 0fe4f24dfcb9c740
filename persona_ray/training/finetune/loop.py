"""The loop: frozen epochs on cached vectors, then epochs with everything trainable."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from persona_ray.config.learning import TrainingConfig
from persona_ray.objectives.classification import summed_cross_entropy
from persona_ray.training.batching import plan_epoch
from persona_ray.training.context import TrainContext
from persona_ray.training.finetune.history import EpochResult, History, Phase
from persona_ray.training.finetune.optimizer import set_learning_rates, trained_parameters
from persona_ray.training.finetune.parallel import precision, total
from persona_ray.training.finetune.trainee import Trainee


def run_epochs(
    trainee: Trainee,
    config: TrainingConfig,
    context: TrainContext,
    on_epoch: Callable[[EpochResult], None],
) -> History:
    """Train until the loss falls below `stop_loss` or the epochs are out; goes on where
    `trainee.history` ends."""
    while not trainee.history.stopped_early and len(trainee.history.epochs) < config.epochs:
        started = time.perf_counter()
        epoch = len(trainee.history.epochs) + 1
        phase = Phase.FROZEN if epoch <= config.frozen_epochs else Phase.FULL
        trainee.enter(phase)
        rates = set_learning_rates(trainee.optimizer, config, epoch)
        seed_epoch(config.seed, epoch, context.rank)
        trainee.network.train()
        summed = 0.0
        for step in plan_epoch(
            trainee.durations_s, config.batch_s, context.world_size, config.seed, epoch
        ):
            part = step.parts[context.rank]
            with precision(context.device):
                logits = trainee.network(trainee.feed.inputs(part))
            loss = summed_cross_entropy(logits.float(), trainee.targets[list(part)])
            trainee.optimizer.zero_grad()
            # DDP takes the mean over workers; this makes it the mean over the step's clips.
            torch.autograd.backward(loss * (context.world_size / step.clips))
            parameters = trained_parameters(trainee.optimizer)
            torch.nn.utils.clip_grad_norm_(parameters, config.max_gradient_norm)
            trainee.optimizer.step()
            summed += loss.item()
        mean = total(summed, context) / len(trainee.durations_s)
        dev = trainee.judge()
        seconds = time.perf_counter() - started
        speed = sum(trainee.durations_s) / seconds
        result = EpochResult(epoch, phase, mean, *rates, dev, seconds, speed)
        trainee.history = History((*trainee.history.epochs, result), mean < config.stop_loss)
        trainee.report(result)
        on_epoch(result)
    return trainee.history


def seed_epoch(seed: int, epoch: int, rank: int) -> None:
    """Dropout is a function of (seed, epoch, rank): a resumed run draws what an undisturbed one
    would, and no random state has to be kept."""
    torch.manual_seed(int(np.random.SeedSequence((seed, epoch, rank)).generate_state(1)[0]))
