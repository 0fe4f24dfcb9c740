"""Fine-tuning goes on: after a kill, with more epochs, from frozen epochs that runs share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import pytest
import torch

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.training.context import PlainContext
from persona_ray.training.feed import Course
from persona_ray.training.finetune.history import Ended
from persona_ray.training.finetune.inputs import LabelledClips
from persona_ray.training.finetune.outcome import load_finetuned
from persona_ray.training.finetune.run import Known, Start, fit
from persona_ray.training.run_folder import RunFolder, Write
from persona_ray.types import Example, Split
from tests.unit.training.toys import (
    Tones,
    assert_same_weights,
    examples,
    tiny_model,
    training_config,
)

CPU = torch.device("cpu")


class KilledError(Exception):
    pass


class KilledContext(PlainContext):
    """A process that dies right after update `after` was saved."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder, device=CPU)
        self.after = after

    def save(self, metrics: Mapping[str, float], write: Write | None) -> None:
        super().save(metrics, write)
        if metrics["update"] == self.after:
            self.finish()
            raise KilledError


def updates_of(config: TrainingConfig, train: list[Example], epoch: int) -> int:
    sizes = LabelledClips(train, Tones(), tiny_model()).sizes()
    return Course("", sizes, config.batch_s, 1.0, config.seed, config.epochs).end(epoch)


# In the middle of the first epoch, at its end, in the last frozen epoch, at the moment of
# unfreezing, right after it, in the last epoch, at the end.
KILLS: list[Callable[[list[int]], int]] = [
    lambda _ends: 1,
    lambda ends: ends[0],
    lambda ends: ends[1] - 1,
    lambda ends: ends[1],
    lambda ends: ends[1] + 1,
    lambda ends: ends[3] - 1,
    lambda ends: ends[3],
]


@pytest.mark.parametrize("kept", [(), ("speech",)])
@pytest.mark.parametrize("kill", KILLS)
def test_a_killed_run_goes_on_as_if_undisturbed(
    tmp_path: Path, kill: Callable[[list[int]], int], kept: tuple[Literal["speech"], ...]
) -> None:
    config = training_config(4, 2).model_copy(update={"kept_frozen": kept, "checkpoint_updates": 1})
    train, dev = examples(37), examples(9, Split.DEV, first=37)
    undisturbed = tiny_model()
    whole = fit(undisturbed, train, dev, Tones(), config, PlainContext(device=CPU))

    after = kill([updates_of(config, train, epoch) for epoch in range(1, 5)])
    with pytest.raises(KilledError):
        fit(tiny_model(), train, dev, Tones(), config, KilledContext(tmp_path, after))
    resumed = tiny_model()
    history = fit(resumed, train, dev, Tones(), config, PlainContext(tmp_path, device=CPU))

    assert history.ended == Ended.EPOCHS
    assert [(e.epoch, e.phase, e.loss, e.dev) for e in history.epochs] == [
        (e.epoch, e.phase, e.loss, e.dev) for e in whole.epochs
    ]
    assert_same_weights(undisturbed, resumed, 0.0)


def test_a_checkpoint_has_the_last_and_the_best_epoch(tmp_path: Path) -> None:
    train, dev = examples(37), examples(9, Split.DEV, first=37)
    # So fast that it gets worse again.
    config = training_config(6, 3).model_copy(update={"learning_rate": 0.3})
    last = tiny_model()
    history = fit(last, train, dev, Tones(), config, PlainContext(tmp_path, device=CPU))
    assert history.best is not None
    assert history.best.epoch < history.last.epoch

    shorter = config.model_copy(update={"epochs": history.best.epoch, "frozen_epochs": 3})
    if history.best.epoch < 3:
        shorter = shorter.model_copy(update={"frozen_epochs": history.best.epoch})
    best = tiny_model()
    fit(best, train, [], Tones(), shorter, PlainContext(device=CPU))

    folder = RunFolder(tmp_path).newest()
    assert folder is not None
    loaded = {"last": tiny_model(), "best": tiny_model()}
    for which, model in loaded.items():
        assert load_finetuned(folder, model, config, best=which == "best") == history
    assert_same_weights(loaded["last"], last, 0.0)
    assert_same_weights(loaded["best"], best, 0.0)


def test_a_run_may_be_prolonged_and_cut_up_otherwise(tmp_path: Path) -> None:
    train = examples(37)
    short, long = training_config(2, 1), training_config(4, 1)
    fit(tiny_model(), train, [], Tones(), short, PlainContext(tmp_path, device=CPU))
    model, whole = tiny_model(), tiny_model()
    history = fit(model, train, [], Tones(), long, PlainContext(tmp_path, device=CPU))
    expected = fit(whole, train, [], Tones(), long, PlainContext(device=CPU))
    assert [e.loss for e in history.epochs] == [e.loss for e in expected.epochs]
    assert_same_weights(model, whole, 0.0)


def test_runs_share_their_frozen_epochs() -> None:
    train, dev = examples(37), examples(9, Split.DEV, first=37)
    starts: dict[int, Start] = {}
    prefix = training_config(3, 3)
    fit(
        tiny_model(), train, dev, Tones(), prefix, PlainContext(device=CPU),
        on_frozen=starts.__setitem__,
    )  # fmt: skip
    assert sorted(starts) == [1, 2, 3]
    for threshold in (1, 3):
        config = training_config(5, threshold)
        shared, alone = tiny_model(), tiny_model()
        known = Known(start=starts[threshold])
        context = PlainContext(device=CPU)
        history = fit(shared, train, dev, Tones(), config, context, known=known)
        expected = fit(alone, train, dev, Tones(), config, context)
        assert [(e.loss, e.dev) for e in history.epochs] == [
            (e.loss, e.dev) for e in expected.epochs
        ]
        assert_same_weights(shared, alone, 0.0)
    other = training_config(5, 3).model_copy(update={"decay_rate": 0.5})
    with pytest.raises(TrainingError, match="other frozen epochs"):
        fit(tiny_model(), train, dev, Tones(), other, context, known=Known(start=starts[3]))
    with pytest.raises(TrainingError, match="other frozen epochs"):
        fit(
            tiny_model(), train, dev, Tones(), training_config(5, 2), context,
            known=Known(start=starts[3]),
        )  # fmt: skip


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train = examples(12)
    context = PlainContext(tmp_path, device=CPU)
    fit(tiny_model(), train, [], Tones(), training_config(1, 1), context)
    other = training_config(1, 1).model_copy(update={"learning_rate": 0.5})
    with pytest.raises(TrainingError, match=r"learning_rate: 0\.02 there, 0\.5 now"):
        fit(tiny_model(), train, [], Tones(), other, context)
    checkpoint = next(tmp_path.glob("checkpoint-*"))
    state = (checkpoint / "state.json").read_text(encoding="utf-8")
    tree = json.loads(state)
    tree["progress"]["history"]["epochs"][0]["loss"] = None
    (checkpoint / "state.json").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(TrainingError, match=r"damaged \(history\.epochs\.0\.loss"):
        fit(tiny_model(), train, [], Tones(), training_config(1, 1), context)
    (checkpoint / "state.json").write_text(state, encoding="utf-8")
    (checkpoint / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="damaged"):
        fit(tiny_model(), train, [], Tones(), training_config(1, 1), context)
