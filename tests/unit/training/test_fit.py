"""The loop against a plain reference, its phases, and its resumption."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
import torch
from torch.nn import functional as F

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.collate import collate
from persona_ray.training.context import PlainContext
from persona_ray.training.feed import Course
from persona_ray.training.finetune.history import Ended, History, Phase
from persona_ray.training.finetune.inputs import LabelledClips
from persona_ray.training.finetune.run import fit
from persona_ray.training.update import seed_update
from persona_ray.types import Example, Modality, Split
from tests.unit.training.toys import (
    LABELS,
    RATE_HZ,
    Tones,
    assert_same_weights,
    examples,
    still,
    tiny_model,
    training_config,
)

CPU = torch.device("cpu")


def reference(model: BimodalModel, train: list[Example], config: TrainingConfig) -> list[float]:
    """Fine-tuning written down plainly: the encoders run in every epoch, nothing is cached, an
    update is one batch."""
    source = Tones()
    if model.speech is not None:
        model.speech.freeze_front()
    head = torch.optim.Adam(model.head_parameters())
    encoders = torch.optim.Adam(model.encoder_parameters())
    sizes = LabelledClips(train, source, model).sizes()
    # Portions as large as an update, but for the rounding of seconds.
    course = Course("", sizes, config.batch_s, 2 * config.batch_s, config.seed, config.epochs)
    summed = [0.0] * config.epochs
    for number, at, (portion,) in course.dealt(0, 0, 1):
        frozen = at < config.frozen_epochs
        model.set_encoders_frozen(frozen)
        for name in config.kept_frozen:
            getattr(model, name).set_frozen(True)
        model.train()
        decay = config.decay_rate**at
        head.param_groups[0]["lr"] = config.learning_rate * decay
        encoders.param_groups[0]["lr"] = (config.encoder_learning_rate or 0.0) * decay
        trained = model.head_parameters() + ([] if frozen else model.encoder_parameters())
        seed_update(config.seed, number, 0, CPU)
        clips = [train[position] for position in portion.positions]
        waves = [source.samples(clip.clip_id) for clip in clips]
        texts = [clip.text for clip in clips]
        labels = [clip.label for clip in clips]
        batch = collate(texts, waves, labels, model, RATE_HZ)
        assert batch.labels is not None
        loss = F.cross_entropy(model(batch), batch.labels)
        head.zero_grad()
        encoders.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
        head.step()
        if not frozen:
            encoders.step()
        summed[at] += loss.item() * len(clips)
    return [loss / len(train) for loss in summed]


def whole_updates(config: TrainingConfig) -> TrainingConfig:
    return config.model_copy(update={"micro_batch_s": 2 * config.batch_s})


@pytest.mark.parametrize("modality", list(Modality))
def test_cached_frozen_epochs_equal_a_loop_that_runs_the_encoders(modality: Modality) -> None:
    # Dropout is on: both draw the same masks. What differs is the padding a clip is encoded with.
    config, train = whole_updates(training_config(epochs=4, frozen_epochs=4)), examples(37)
    plain, cached = tiny_model(modality), tiny_model(modality)
    losses = reference(plain, train, config)
    history = fit(cached, train, [], Tones(), config, PlainContext(device=CPU))
    assert [epoch.loss for epoch in history.epochs] == pytest.approx(losses, abs=2e-5)
    assert_same_weights(plain, cached, 1e-4)


@pytest.mark.parametrize("kept", [(), ("speech",), ("text",), ("speech", "text")])
def test_both_phases_equal_a_plain_loop(kept: tuple[Literal["speech", "text"], ...]) -> None:
    config, train = whole_updates(training_config(epochs=4, frozen_epochs=2)), examples(37)
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
    assert history.ended == Ended.LOSS
    assert len(history.epochs) < 15
    assert history.last.loss < 0.3 <= min(epoch.loss for epoch in history.epochs[:-1])


def test_patience_ends_a_run_that_learns_nothing_more() -> None:
    config = training_config(20, 20).model_copy(update={"learning_rate": 0.5, "patience": 2})
    train, dev = examples(37), examples(9, Split.DEV, first=37)
    history = fit(tiny_model(), train, dev, Tones(), config, PlainContext(device=CPU))
    assert history.ended == Ended.PATIENCE
    assert history.best is not None
    assert history.last.epoch == history.best.epoch + 2 < 20


def test_micro_batches_change_nothing() -> None:
    # Without dropout, whose masks are drawn batch by batch.
    train, config = examples(37), training_config(3, 1)
    losses = []
    for micro_batch_s in (2.0, 24.0):
        model = still(tiny_model(dropout=0.0))
        changed = config.model_copy(update={"micro_batch_s": micro_batch_s})
        history = fit(model, train, [], Tones(), changed, PlainContext(device=CPU))
        losses.append([epoch.loss for epoch in history.epochs])
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_rare_labels_count_more() -> None:
    train = [e for e in examples(48) if e.label in ("red", "blue")]
    train = [e for e in train if e.label == "red"] + [e for e in train if e.label == "blue"][:3]
    recalls = {}
    for kind in ("none", "balanced"):
        config = training_config(3, 3).model_copy(update={"class_weights": kind})
        model = still(tiny_model(dropout=0.0))
        fit(model, train, [], Tones(), config, PlainContext(device=CPU))
        recalls[kind] = mean_probability(model, [e for e in train if e.label == "blue"], "blue")
    assert recalls["balanced"] > recalls["none"] + 0.1
    weights = {"red": 1.0, "blue": 2.0}
    config = training_config(1, 1).model_copy(update={"class_weights": weights})
    with pytest.raises(ConfigError, match="green, yellow"):
        fit(tiny_model(), train, [], Tones(), config, PlainContext(device=CPU))


def mean_probability(model: BimodalModel, clips: list[Example], label: str) -> float:
    waves = [Tones().samples(clip.clip_id) for clip in clips]
    batch = collate([clip.text for clip in clips], waves, None, model, RATE_HZ)
    model.eval()
    with torch.no_grad():
        return torch.softmax(model(batch), -1)[:, LABELS.index(label)].mean().item()


def test_lower_blocks_learn_slower() -> None:
    train, before = examples(24), tiny_model().state_dict()
    moved = {}
    for decay in (1.0, 0.01):
        model = tiny_model()
        config = training_config(1, 0).model_copy(update={"layer_decay": decay})
        fit(model, train, [], Tones(), config, PlainContext(device=CPU))
        for block in (0, 1):
            name = f"speech.model.encoder.layers.{block}.feed_forward.output_dense.weight"
            moved[decay, block] = (model.state_dict()[name] - before[name]).abs().mean().item()
    # The upper block at the whole rate, the lower one at a hundredth of it.
    assert moved[0.01, 1] == pytest.approx(moved[1.0, 1], rel=0.3)
    assert moved[0.01, 0] < 0.05 * moved[1.0, 0]


def test_nothing_to_learn_from_is_an_error() -> None:
    config, context = training_config(1, 1), PlainContext(device=CPU)
    with pytest.raises(TrainingError, match="at least two labels"):
        fit(tiny_model(), examples(3), [], Tones(), config, context)
    with pytest.raises(TrainingError, match="at least two labels"):
        fit(tiny_model(), [], [], Tones(), config, context)
