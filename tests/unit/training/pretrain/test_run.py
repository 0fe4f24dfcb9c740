"""Whole runs of the loop with the torch engine in this process."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from persona_ray.config.engine import EngineConfig
from persona_ray.config.pretraining import PretrainSpeechConfig, PretrainTextConfig
from persona_ray.errors import TrainingError
from persona_ray.training.checkpoint import load_trained
from persona_ray.training.context import PlainContext
from persona_ray.training.pretrain.curve import Curve
from persona_ray.training.pretrain.run import pretrain
from persona_ray.training.pretrain.settings import PretrainSettings
from tests.unit.training.pretrain.toys import (
    SETTINGS,
    TOY,
    SpoiltTask,
    ToyTask,
    settings,
    unheard,
)

TORCH = EngineConfig()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def run(
    folder: Path,
    task: ToyTask = TOY,
    with_settings: PretrainSettings = SETTINGS,
    stop: Callable[[], bool] = lambda: False,
) -> Curve:
    return pretrain(task, with_settings, TORCH, PlainContext(folder, stop=stop), unheard)


def stop_after(updates: int) -> Callable[[], bool]:
    """Asked once before every update."""
    asked = iter(range(1, 10_000))
    return lambda: next(asked) >= updates


def weights(folder: Path, task: ToyTask = TOY) -> dict[str, Tensor]:
    module = task.build()
    newest = PlainContext(folder).restore()
    assert newest is not None
    load_trained(newest, module)
    return module.state_dict()


def timeless(curve: Curve) -> list[dict[str, object]]:
    measured = ("size_per_s", "flops_per_s", "utilisation", "seconds")
    return [
        {name: value for name, value in point.items() if name not in measured}
        for point in curve.as_json()["points"]
    ]


def test_it_learns_and_leaves_weights(tmp_path: Path) -> None:
    curve = run(tmp_path, with_settings=settings(epochs=12, log_updates=10))
    assert curve.complete
    assert curve.last.update == curve.updates
    assert curve.last.epoch == 12
    assert curve.last.loss < 0.5 * curve.points[0].loss
    assert curve.last.accuracy["words"] > curve.points[0].accuracy["words"]
    assert 0 <= curve.last.padding_share < 0.2
    assert curve.last.learning_rate == pytest.approx(0.001)
    start, end = ToyTask().build().state_dict(), weights(tmp_path)
    assert not torch.equal(start["embedding.weight"], end["embedding.weight"])
    assert torch.equal(start["frozen.weight"], end["frozen.weight"])
    assert torch.equal(end["decoder.weight"], end["embedding.weight"])


def test_size_of_micro_batches_changes_nothing(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", with_settings=settings(micro_size=60.0))
    parts = run(tmp_path / "parts", with_settings=settings(micro_size=11.0))
    for one, other in zip(whole.points, parts.points, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-5)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-4)
        assert other.accuracy == one.accuracy
    expected = weights(tmp_path / "whole")
    for name, tensor in weights(tmp_path / "parts").items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("log_updates", [1, 4])
def test_a_stopped_run_goes_on_as_if_undisturbed(tmp_path: Path, log_updates: int) -> None:
    """With dropout, in the middle of an epoch and of a point of the curve."""
    task, with_settings = ToyTask(dropout=0.2), settings(log_updates=log_updates)
    undisturbed = run(tmp_path / "whole", task, with_settings)
    stopped = run(tmp_path / "parts", task, with_settings, stop=stop_after(3))
    assert not stopped.complete
    again = run(tmp_path / "parts", task, with_settings, stop=stop_after(6))
    assert not again.complete
    resumed = run(tmp_path / "parts", task, with_settings)
    assert resumed.complete
    assert timeless(resumed) == timeless(undisturbed)
    assert resumed.last.seconds > again.points[-1].seconds if again.points else True
    expected = weights(tmp_path / "whole")
    for name, tensor in weights(tmp_path / "parts").items():
        assert torch.equal(tensor, expected[name]), name


def test_a_finished_run_is_not_repeated_but_can_be_prolonged(tmp_path: Path) -> None:
    constant = settings(final_rate_share=1.0, epochs=1)
    first = run(tmp_path, with_settings=constant)
    assert run(tmp_path, with_settings=constant) == first
    longer = run(tmp_path, with_settings=dataclasses.replace(constant, epochs=2))
    assert longer.updates > first.updates
    assert longer.points[: len(first.points)] == first.points


def test_points_reach_the_caller_once(tmp_path: Path) -> None:
    seen: list[int] = []
    for stop in (stop_after(4), lambda: False):
        pretrain(
            ToyTask(), SETTINGS, TORCH, PlainContext(tmp_path, stop=stop),
            lambda point: seen.append(point.update),
        )  # fmt: skip
    assert seen == list(range(1, seen[-1] + 1))


def test_a_loss_that_is_no_number_stops_the_run_and_names_the_items(tmp_path: Path) -> None:
    longest = {str(item) for item, size in enumerate(TOY.sizes()) if size == 12.0}
    with pytest.raises(TrainingError, match=r"loss of update \d+ is not finite") as raised:
        run(tmp_path, SpoiltTask(), settings(micro_size=12.0))
    named = set(str(raised.value).split("items ")[1].split(":")[0].split(", "))
    assert named
    assert named <= longest
    assert PlainContext(tmp_path).restore() is None


def test_no_items_is_said(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no item to learn from"):
        run(tmp_path, ToyTask(items=0))


def test_an_error_in_reading_reaches_the_caller(tmp_path: Path) -> None:
    class Unreadable(ToyTask):
        def batch(self, positions, epoch):  # type: ignore[no-untyped-def]
            if epoch == 1:
                raise OSError("disk gone")
            return super().batch(positions, epoch)

    with pytest.raises(OSError, match="disk gone"):
        run(tmp_path, Unreadable())
    assert "batches" not in {thread.name for thread in threading.enumerate()}


def test_the_rate_rises_and_falls() -> None:
    falling = settings(warmup_updates=4, final_rate_share=0.2, learning_rate=1.0)
    rates = [falling.rate(update, 20) for update in range(1, 21)]
    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] == pytest.approx(1.0)
    assert rates[-1] == pytest.approx(0.2)
    np.testing.assert_allclose(np.diff(rates[4:]), -0.8 / 15)
    assert settings(warmup_updates=0, final_rate_share=1.0, learning_rate=2.0).rate(1, 1) == 2.0


def test_settings_of_both_sections() -> None:
    text = PretrainSettings.of(PretrainTextConfig(batch_tokens=512, micro_batch_tokens=128))
    speech = PretrainSettings.of(PretrainSpeechConfig(batch_s=30.0), name="speech, iteration 1")
    assert (text.name, text.update_size, text.micro_size) == ("text", 512.0, 128.0)
    assert (speech.name, speech.update_size) == ("speech, iteration 1", 30.0)


class Broken(PlainContext):
    """A disk that fails."""

    def save(self, metrics: Mapping[str, float], write: Callable[[Path], None] | None) -> None:
        assert write is not None

        def fail(folder: Path) -> None:
            write(folder)
            raise OSError("disk full")

        super().save(metrics, fail)


def test_what_fails_in_the_background_is_raised(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        pretrain(ToyTask(), SETTINGS, TORCH, Broken(tmp_path), unheard)
    assert PlainContext(tmp_path).restore() is None


def test_checkpoints_are_few_and_whole(tmp_path: Path) -> None:
    run(tmp_path, with_settings=settings(checkpoint_updates=2))
    (tmp_path / "writing-000099").mkdir()  # left by a killed process
    folders = sorted(path.name for path in tmp_path.glob("checkpoint-*"))
    assert len(folders) == 2
    newest = PlainContext(tmp_path).restore()
    assert newest is not None
    assert newest.name == folders[-1]
    assert {path.name for path in newest.iterdir()} == {
        "weights.safetensors", "moments.safetensors", "state.json", "metrics.json",
    }  # fmt: skip
    metrics = json.loads((newest / "metrics.json").read_text(encoding="utf-8"))
    assert {"loss", "loss_words", "accuracy_words", "update"} <= metrics.keys()
