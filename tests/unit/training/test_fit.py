"""The loop against a plain reference, its phases, and its resumption."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.collate import collate
from persona_ray.training.batching import plan_epoch
from persona_ray.training.context import PlainContext
from persona_ray.training.finetune.fit import fit
from persona_ray.training.finetune.history import EpochResult, History, Phase
from persona_ray.training.finetune.loop import seed_epoch
from persona_ray.types import Example, Modality, Split
from tests.unit.training.toys import RATE_HZ, Tones, examples, tiny_model, training_config

CPU = torch.device("cpu")


def reference(model: BimodalModel, train: list[Example], config: TrainingConfig) -> list[float]:
    """Fine-tuning written down plainly: the encoders run in every epoch, nothing is cached."""
    source = Tones()
    if model.speech is not None:
        model.speech.freeze_front()
    head = torch.optim.Adam(model.head_parameters())
    encoders = torch.optim.Adam(model.encoder_parameters())
    losses = []
    for epoch in range(1, config.epochs + 1):
        frozen = epoch <= config.frozen_epochs
        model.set_encoders_frozen(frozen)
        for name in config.kept_frozen:
            getattr(model, name).set_frozen(True)
        model.train()
        decay = config.decay_rate ** (epoch - 1)
        head.param_groups[0]["lr"] = config.learning_rate * decay
        encoders.param_groups[0]["lr"] = (config.encoder_learning_rate or 0.0) * decay
        trained = model.head_parameters() + ([] if frozen else model.encoder_parameters())
        seed_epoch(config.seed, epoch, 0)
        summed = 0.0
        durations_s = [example.duration_s for example in train]
        for step in plan_epoch(durations_s, config.batch_s, 1, config.seed, epoch):
            clips = [train[at] for at in step.parts[0]]
            waves = [source.samples(clip.clip_id) for clip in clips]
            texts = [clip.text for clip in clips]
            labels = [clip.label for clip in clips]
            batch = collate(texts, waves, labels, model, RATE_HZ)
            loss = F.cross_entropy(model(batch), batch.labels)
            head.zero_grad()
            encoders.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
            head.step()
            if not frozen:
                encoders.step()
            summed += loss.item() * len(clips)
        losses.append(summed / len(train))
    return losses


def assert_same_weights(one: BimodalModel, other: BimodalModel, tolerance: float) -> None:
    others = other.state_dict()
    for name, tensor in one.state_dict().items():
        # Attention does not depend on the keys' bias: its gradient is rounding, which Adam blows
        # up to whole steps.
        if tolerance and name.endswith(("k_proj.bias", "key.bias")):
            continue
        torch.testing.assert_close(tensor, others[name], atol=tolerance, rtol=tolerance, msg=name)


@pytest.mark.parametrize("modality", list(Modality))
def test_cached_frozen_epochs_equal_a_loop_that_runs_the_encoders(modality: Modality) -> None:
    # Dropout is on: both draw the same masks. What differs is the padding a clip is encoded with.
    config, train = training_config(epochs=4, frozen_epochs=4), examples(37)
    plain, cached = tiny_model(modality), tiny_model(modality)
    losses = reference(plain, train, config)
    history = fit(cached, train, [], Tones(), config, PlainContext(device=CPU))
    assert [epoch.loss for epoch in history.epochs] == pytest.approx(losses, abs=2e-5)
    assert_same_weights(plain, cached, 1e-4)


@pytest.mark.parametrize("kept", [(), ("speech",), ("text",), ("speech", "text")])
def test_both_phases_equal_a_plain_loop(kept: tuple[Literal["speech", "text"], ...]) -> None:
    config, train = training_config(epochs=4, frozen_epochs=2), examples(37)
    config = config.model_copy(update={"kept_frozen": kept})
    plain, ours = tiny_model(), tiny_model()
    losses = reference(plain, train, config)
    history = fit(ours, train, [], Tones(), config, PlainContext(device=CPU))
    assert [epoch.phase for epoch in history.epochs] == [Phase.FROZEN] * 2 + [Phase.FULL] * 2
    assert [epoch.loss for epoch in history.epochs] == pytest.approx(losses, abs=1e-4)
    assert_same_weights(plain, ours, 1e-3)


def test_each_phase_changes_what_it_should() -> None:
    train = examples(24)
    untouched, frozen, opened = tiny_model(), tiny_model(), tiny_model()
    fit(frozen, train, [], Tones(), training_config(2, 2), PlainContext(device=CPU))
    fit(opened, train, [], Tones(), training_config(2, 1), PlainContext(device=CPU))
    before = untouched.state_dict()

    def changed(model: BimodalModel) -> set[str]:
        return {
            name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])
        }

    head = {"featurizer.layer_weights", "classifier.weight", "classifier.bias"}
    assert changed(frozen) == head
    assert any(name.startswith("speech.model.encoder.layers.0") for name in changed(opened))
    assert any(name.startswith("text.model.encoder.layer.0") for name in changed(opened))
    assert not any("feature_extractor" in name for name in changed(opened))


def test_learns_and_tells_so(tmp_path: Path) -> None:
    train, dev = examples(96), examples(24, Split.DEV, first=96)
    history = fit(
        tiny_model(), train, dev, Tones(), training_config(8, 3), PlainContext(device=CPU)
    )
    first, last = history.epochs[0], history.last
    assert first.dev is not None
    assert last.dev is not None
    assert last.loss < 0.6 * first.loss
    assert last.dev.loss < first.dev.loss
    assert last.dev.customer_accuracy >= 0.75
    assert [epoch.learning_rate for epoch in history.epochs] == pytest.approx(
        [0.02 * 0.95**at for at in range(8)]
    )
    assert last.encoder_learning_rate == pytest.approx(0.01 * 0.95**7)
    history.write(tmp_path / "history.json")
    assert History.read(tmp_path / "history.json") == history


def test_stops_below_the_configured_loss() -> None:
    config = training_config(epochs=15, frozen_epochs=0).model_copy(update={"stop_loss": 0.3})
    history = fit(tiny_model(), examples(96), [], Tones(), config, PlainContext(device=CPU))
    assert history.stopped_early
    assert len(history.epochs) < 15
    assert history.last.loss < 0.3 <= min(epoch.loss for epoch in history.epochs[:-1])


class KilledError(Exception):
    pass


class KilledContext(PlainContext):
    """A process that dies right after the report of epoch `after`."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder, CPU)
        self.after = after

    def report(self, metrics: Mapping[str, float], checkpoint: Path | None) -> None:
        super().report(metrics, checkpoint)
        if metrics["epoch"] == self.after:
            raise KilledError


@pytest.mark.parametrize(("after", "kept"), [(1, ()), (2, ()), (3, ()), (4, ()), (3, ("speech",))])
def test_a_killed_run_goes_on_as_if_undisturbed(
    tmp_path: Path, after: int, kept: tuple[Literal["speech"], ...]
) -> None:
    config = training_config(4, 2).model_copy(update={"kept_frozen": kept})
    train, dev = examples(37), examples(9, Split.DEV, first=37)
    undisturbed = tiny_model()
    whole = fit(undisturbed, train, dev, Tones(), config, PlainContext(device=CPU))

    with pytest.raises(KilledError):
        fit(tiny_model(), train, dev, Tones(), config, KilledContext(tmp_path, after))
    seen: list[EpochResult] = []
    resumed = tiny_model()
    context = PlainContext(tmp_path, CPU)
    history = fit(resumed, train, dev, Tones(), config, context, seen.append)

    assert [result.epoch for result in seen] == list(range(after + 1, 5))
    assert [(e.epoch, e.phase, e.loss, e.dev) for e in history.epochs] == [
        (e.epoch, e.phase, e.loss, e.dev) for e in whole.epochs
    ]
    assert_same_weights(undisturbed, resumed, 0.0)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    train = examples(12)
    context = PlainContext(tmp_path, CPU)
    fit(tiny_model(), train, [], Tones(), training_config(1, 1), context)
    with pytest.raises(TrainingError, match="config differ"):
        fit(tiny_model(), train, [], Tones(), training_config(2, 1), context)
    (next(tmp_path.glob("checkpoint-*")) / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="damaged"):
        fit(tiny_model(), train, [], Tones(), training_config(1, 1), context)


def test_nothing_to_learn_from_is_an_error() -> None:
    config, context = training_config(1, 1), PlainContext(device=CPU)
    with pytest.raises(TrainingError, match="at least two labels"):
        fit(tiny_model(), examples(3), [], Tones(), config, context)
    with pytest.raises(TrainingError, match="at least two labels"):
        fit(tiny_model(), [], [], Tones(), config, context)
