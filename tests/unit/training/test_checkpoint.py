"""Checkpoints that are damaged, or of another run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from persona_ray.config.engine import EngineConfig
from persona_ray.errors import TrainingError
from persona_ray.training.checkpoint import load_trained
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import Curve
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.training.pretrain.toys import SETTINGS, TOY, ToyTask, settings, unheard


def run(folder: Path, task: ToyTask = TOY, changed: PretrainSettings = SETTINGS) -> Curve:
    return pretrain(task, changed, EngineConfig(), PlainContext(folder), unheard)


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A run that was stopped after two updates; returns its newest checkpoint."""
    torch.set_num_threads(1)
    asked = iter((False, True))
    context = PlainContext(tmp_path, stop=lambda: next(asked))
    pretrain(ToyTask(), SETTINGS, EngineConfig(), context, unheard)
    newest = context.restore()
    assert newest is not None
    return newest


@pytest.mark.parametrize("name", ["weights.safetensors", "moments.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damage_is_named(stopped: Path, name: str, damage: str) -> None:
    path = stopped / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    else:
        path.unlink()
    with pytest.raises(TrainingError, match=rf"{name} is damaged .*delete its folder"):
        run(stopped.parent)


@pytest.mark.parametrize(
    ("key", "value"),
    [("update", "two"), ("points", [[]]), ("meter", {"losses": [1.0]}), ("seconds", None)],
)
def test_a_state_of_other_types_is_named(stopped: Path, key: str, value: object) -> None:
    state = json.loads((stopped / "state.json").read_text(encoding="utf-8"))
    state["progress"][key] = value
    (stopped / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(TrainingError, match=rf"is damaged \({key}.*delete its folder"):
        run(stopped.parent)


@pytest.mark.parametrize(
    ("task", "changed", "named"),
    [
        (ToyTask(start=1), SETTINGS, "task"),
        (ToyTask(), settings(learning_rate=0.5), "learning_rate: 0.01 there, 0.5 now"),
        (ToyTask(), settings(epochs=3), "epochs"),
        (ToyTask(), settings(seed=9), "seed"),
    ],
)
def test_another_run_is_named(
    stopped: Path, task: ToyTask, changed: PretrainSettings, named: str
) -> None:
    with pytest.raises(TrainingError, match=named):
        run(stopped.parent, task, changed)


def test_what_does_not_matter_may_change(stopped: Path) -> None:
    changed = dataclasses.replace(SETTINGS, micro_size=12.0, log_updates=3, checkpoint_updates=2)
    assert run(stopped.parent, changed=changed).complete


def test_a_tensor_that_does_not_fit_is_named(stopped: Path) -> None:
    weights = load_file(stopped / "weights.safetensors")
    weights["norm.weight"] = torch.ones(3)
    save_file(weights, stopped / "weights.safetensors")
    with pytest.raises(TrainingError, match=r"does not fit the model at 'norm.weight' \(\(3,\)"):
        load_trained(stopped, ToyTask().build())


def test_a_newer_format_is_refused(stopped: Path) -> None:
    state = json.loads((stopped / "state.json").read_text(encoding="utf-8"))
    (stopped / "state.json").write_text(json.dumps({**state, "version": 99}), encoding="utf-8")
    with pytest.raises(TrainingError, match="version 99"):
        run(stopped.parent)
