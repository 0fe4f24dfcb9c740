"""Updates of one phase, epoch after epoch, until one of the reasons to end holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from persona_ray.config.learning import TrainingConfig
from persona_ray.objectives.classification import TERM
from persona_ray.training.engine.base import Group
from persona_ray.training.feed import Course, Feed
from persona_ray.training.finetune.classifier import HEAD, phase_of, rates_of
from persona_ray.training.finetune.history import Ended, EpochResult, History
from persona_ray.training.finetune.metrics import Scores
from persona_ray.training.finetune.progress import Progress
from persona_ray.training.update import Updater


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a loop asks of the run around it.

    `judge`: scores of the dev split, None for an empty one. `save`: keep the state, called after
    every epoch and between. `tell`: an epoch is over.
    """

    judge: Callable[[], Scores | None]
    save: Callable[[Progress], None]
    tell: Callable[[EpochResult], None]
    stop_requested: Callable[[], bool]


def run_phase(
    config: TrainingConfig,
    course: Course,
    feed: Feed,
    updater: Updater,
    groups: list[Group],
    progress: Progress,
    hooks: Hooks,
    audio_s: float,
) -> Progress:
    """Goes on from `progress` to the end of `feed`, of training (`history.ended`), or where a rank
    was asked to stop (`stopped`). `audio_s`: seconds of audio in an epoch."""
    before = time.perf_counter()
    for ready in feed:
        epoch = ready.epoch + 1
        rates = rates_of(groups, config, epoch)
        outcome = updater.run(ready, rates, hooks.stop_requested())
        now = time.perf_counter()
        progress = replace(
            progress,
            update=ready.number,
            phase=phase_of(epoch, config),
            loss=progress.loss + outcome.losses[TERM],
            clips=progress.clips + outcome.counts[TERM],
            seconds=progress.seconds + now - before,
            stopped=outcome.stop,
        )
        before = now
        if ready.number == course.end(epoch):
            dev = hooks.judge()
            now = time.perf_counter()
            seconds = progress.seconds + now - before
            before = now
            encoders = [rate for name, rate in rates.items() if name != HEAD]
            result = EpochResult(
                epoch=epoch,
                phase=phase_of(epoch, config),
                loss=progress.loss / progress.clips,
                learning_rate=rates[HEAD],
                encoder_learning_rate=max(encoders, default=0.0),
                dev=dev,
                seconds=seconds,
                audio_s_per_s=audio_s / max(seconds, 1e-9),
            )
            history = History((*progress.history.epochs, result))
            history = replace(history, ended=ended(history, config))
            progress = replace(progress, history=history, loss=0.0, clips=0.0, seconds=0.0)
            hooks.save(progress)
            hooks.tell(result)
        elif outcome.stop or ready.number % config.checkpoint_updates == 0:
            hooks.save(progress)
        if progress.stopped or progress.history.ended:
            break
    return progress


def ended(history: History, config: TrainingConfig) -> Ended | None:
    """Whether, and why, no epoch follows."""
    if history.last.loss < config.stop_loss:
        return Ended.LOSS
    if len(history.epochs) >= config.epochs:
        return Ended.EPOCHS
    best = history.best
    if config.patience is not None and best and history.last.epoch - best.epoch >= config.patience:
        return Ended.PATIENCE
    return None
