"""Runs that share frozen epochs are the runs that would have made their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from persona_ray.config.learning import TrainingConfig
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.context import PlainContext
from persona_ray.training.finetune.history import Ended, History
from persona_ray.training.finetune.prefix import prefix_of, start_for
from persona_ray.training.finetune.run import Known, Start, fit
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Example, Split
from tests.unit.training.toys import LABELS, Tones, examples, tiny_model, training_config

CPU = torch.device("cpu")
TRAIN, DEV = examples(24), examples(6, Split.DEV, first=24)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(
    config: TrainingConfig, known: Known, dev: list[Example] = DEV, **more: Any
) -> tuple[History, BimodalModel]:
    model, context = tiny_model(), PlainContext(device=CPU)
    return fit(model, TRAIN, dev, Tones(), config, context, known=known, **more), model


def alike(thresholds: tuple[int, ...], **settings: object) -> list[TrainingConfig]:
    return [training_config(4, t).model_copy(update=settings) for t in thresholds]


def losses(folder: Path) -> list[float]:
    history, _ = run(training_config(4, 4), Known(cache=VectorCache(folder)))
    return [epoch.loss for epoch in history.epochs]


@pytest.mark.parametrize("ends", ["epochs", "loss in a frozen epoch", "patience"])
def test_runs_from_a_shared_prefix_are_equal_bit_for_bit(tmp_path: Path, ends: str) -> None:
    settings: dict[str, object] = {}
    dev = DEV
    if ends == "loss in a frozen epoch":
        # Crossed after the second of at most three frozen epochs.
        first, second = losses(tmp_path)[:2]
        assert second < first
        settings = {"stop_loss": (first + second) / 2}
    if ends == "patience":
        # What is learned of the train split is wrong here: the loss rises from the first epoch on.
        settings = {"patience": 1, "learning_rate": 0.1}
        dev = [replace(e, label=LABELS[LABELS.index(e.label) - 1]) for e in DEV]
    configs = alike((0, 1, 3), **settings)
    cache = Known(cache=VectorCache(tmp_path))
    starts: dict[int, Start] = {}
    run(prefix_of(configs), cache, dev, on_frozen=starts.__setitem__)
    assert sorted(starts) == [1, 2, 3]
    early = 0
    for config in configs:
        start = start_for(starts, config)
        shared, its = run(config, Known(cache=cache.cache, start=start), dev)
        alone, other = run(config, cache, dev)
        assert shared.ended == alone.ended
        assert [(e.epoch, e.phase, e.loss, e.dev) for e in shared.epochs] == [
            (e.epoch, e.phase, e.loss, e.dev) for e in alone.epochs
        ]
        early += shared.last.epoch < config.frozen_epochs
        for name, weights in its.state_dict().items():
            assert torch.equal(weights, other.state_dict()[name]), name
        assert (start is None) == (config.frozen_epochs == 0)
        assert alone.ended == {"epochs": Ended.EPOCHS, "patience": Ended.PATIENCE}.get(
            ends, Ended.LOSS
        )
    assert bool(early) == (ends != "epochs")


def test_a_prefix_is_as_long_as_the_longest_and_ends_with_nothing_else() -> None:
    configs = [training_config(9, t).model_copy(update={"stop_loss": 0.3}) for t in (2, 7, 4)]
    prefix = prefix_of(configs)
    assert (prefix.epochs, prefix.frozen_epochs) == (7, 7)
    assert (prefix.stop_loss, prefix.patience) == (0.0, None)
    assert prefix.decay_rate == configs[0].decay_rate
