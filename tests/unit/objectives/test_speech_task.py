"""The task as the loop asks for it: items, batches, weights, folders."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError, CorpusError, EncoderError, TrainingError
from persona_ray.launch.units import prepare_units
from persona_ray.objectives.masked_units import MaskedUnits
from persona_ray.objectives.speech_task import HEADS, SpeechTask, speech_task
from persona_ray.progress import SilentProgress
from tests.unit.models.checkpoints import FAMILIES, Family, speech_checkpoint
from tests.unit.objectives.speech_toys import Melodies, clip_infos, fingerprint, run_config

INFOS = clip_infos([2_000, 900, 1_500, 300, 14_000, 1_000])
SOURCE = Melodies()


def task_of(config: RunConfig, path: str = "", iteration: int = 0) -> SpeechTask:
    units = prepare_units(
        config, iteration, path, INFOS, SOURCE, fingerprint(INFOS), SilentProgress()
    )
    return speech_task(config, iteration, path, INFOS, SOURCE, units)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> SpeechTask:
    return task_of(run_config(tmp_path_factory.mktemp("task")))


def state(module: MaskedUnits) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


def test_sizes_are_seconds_and_long_clips_are_cut(task: SpeechTask) -> None:
    assert task.unit == "audio_s"
    assert list(task.sizes()) == [2.0, 0.9, 1.5, 0.3, 12.0, 1.0]
    batch = task.batch([4, 3], epoch=0)
    assert batch.inputs["waves"].shape == (2, 96_000)
    assert batch.inputs["lengths"].tolist() == [96_000, 2_400]
    assert batch.size == pytest.approx(12.3)
    assert batch.padded == pytest.approx(24.0)


def test_counts_are_what_the_model_sums_over(task: SpeechTask) -> None:
    batch = task.batch([0, 1, 3], epoch=2)
    module = task.build().eval()
    with torch.inference_mode():
        _, valid, _ = module.frames(*(batch.inputs[n] for n in ("waves", "lengths", "masked")))
        terms = module(batch.inputs)
    assert batch.counts == {
        "masked": int((valid & batch.inputs["masked"]).sum()),
        "penalty": int(valid.sum()),
    }
    assert {name.split(".")[0] for name in terms} == set(task.weights) == {"masked", "penalty"}
    assert next(iter(task.weights)) == "masked"
    assert task.weights["penalty"] == 10.0


def test_a_clip_is_masked_by_its_epoch_whatever_batch_it_stands_in(task: SpeechTask) -> None:
    def mask(positions: list[int], epoch: int) -> Tensor:
        return task.batch(positions, epoch).inputs["masked"][positions.index(1), :30]

    assert torch.equal(mask([1], 0), mask([4, 2, 1], 0))
    assert not torch.equal(mask([1], 0), mask([1], 1))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_units_stand_where_their_frames_are(task: SpeechTask, position: int) -> None:
    """Notes last 0.2 s: units change where they do, by a window and its differences at most."""
    units = task.batch([position], 0).inputs["units"][0].numpy()
    changes = np.flatnonzero(np.diff(units)) + 1
    middles_s = (changes * task.grid.stride + task.grid.window / 2) / task.grid.rate_hz
    assert len(changes) >= 3
    assert np.abs(middles_s - 0.2 * np.round(middles_s / 0.2)).max() < 0.07


def test_building_is_repeatable_and_leaves_randomness_alone(task: SpeechTask) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    one = state(task.build())
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    assert_same(one, state(task.build()))


def test_it_pickles_small(task: SpeechTask) -> None:
    data = pickle.dumps(task)
    assert len(data) < 20_000
    again = pickle.loads(data)
    assert again.fingerprint == task.fingerprint
    one, other = task.batch([2], 1), again.batch([2], 1)
    assert_same(one.inputs, other.inputs)


def test_the_fingerprint_changes_with_what_is_learned_and_not_with_how_fast(
    task: SpeechTask, tmp_path: Path
) -> None:
    def changed(**speech: Any) -> str:
        settings = task.settings.model_copy(update=speech)
        return replace(task, settings=settings).fingerprint

    same = {changed(), changed(epochs=3), changed(micro_batch_s=5.0), changed(log_updates=1)}
    assert same == {task.fingerprint}
    others = {
        changed(mask_start=0.1),
        changed(temperature=0.2),
        changed(seed=1),
        changed(freeze_front=True),
        replace(task, clip_ids=task.clip_ids[:-1]).fingerprint,
        replace(task, encoder_fingerprint="other").fingerprint,
        task_of(run_config(tmp_path, seed=3)).fingerprint,
    }
    assert len(others | same) == 8


@pytest.mark.parametrize("family", [*FAMILIES[:2], FAMILIES[4]], ids=str)
@pytest.mark.parametrize("mask_time_prob", [0.5, 0.0])
def test_a_folder_that_is_trained_for_no_step_is_unchanged(
    family: Family, mask_time_prob: float, tmp_path: Path
) -> None:
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

    folder = speech_checkpoint(tmp_path / "a", family, mask_time_prob=mask_time_prob)
    task = task_of(run_config(tmp_path), str(folder))
    task.save(task.build(), tmp_path / "b")
    before = load_file(folder / "model.safetensors")
    after = load_file(tmp_path / "b" / "model.safetensors")
    if mask_time_prob:
        assert_same(before, after)
    else:
        added = after.pop("masked_spec_embed")
        assert added.shape == (24,)
        assert_same(before, after)
    old, new = AutoConfig.from_pretrained(folder), AutoConfig.from_pretrained(tmp_path / "b")
    differing = {
        name for name, value in old.to_dict().items() if new.to_dict().get(name) != value
    } - {"_name_or_path"}
    assert differing == (set() if mask_time_prob else {"mask_time_prob", "apply_spec_augment"})
    model, info = AutoModel.from_pretrained(tmp_path / "b", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    extractor = AutoFeatureExtractor.from_pretrained(tmp_path / "b")
    assert extractor.to_dict() == AutoFeatureExtractor.from_pretrained(folder).to_dict()
    assert model.config.model_type == family.model_type


def test_an_iteration_goes_on_with_its_heads_and_the_next_one_without(
    task: SpeechTask, tmp_path: Path
) -> None:
    module = task.build()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.01)
    task.save(module, tmp_path / "first")
    assert (tmp_path / "first" / HEADS).is_file()
    config = run_config(
        tmp_path, iterations=[{"clusters": 6}, {"features": "layer", "layer": 2, "clusters": 5}]
    )
    path = str(tmp_path / "first")
    same = task_of(config, path)
    assert same.units.version == task.units.version
    assert_same(state(same.build()), state(module))
    following = task_of(config, path, iteration=1).build()
    assert following.units.shape == (5, 8)
    assert_same(following.encoder.state_dict(), module.encoder.state_dict())
    assert not torch.equal(following.projection.weight, module.projection.weight)


def test_some_steps_bring_the_loss_down(task: SpeechTask) -> None:
    module = task.build().train()
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for epoch in range(30):
        batch = task.batch(range(6), epoch)
        terms = module(batch.inputs)
        loss = sum(w * terms[f"{t}.loss"] / batch.counts[t] for t, w in task.weights.items())
        assert isinstance(loss, Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(terms["masked.loss"].detach()) / batch.counts["masked"])
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])


def test_a_frozen_front_stays_as_it_is(tmp_path: Path) -> None:
    task = task_of(run_config(tmp_path, freeze_front=True, unmasked_weight=0.5))
    assert dict(task.weights) == {"masked": 1.0, "unmasked": 0.5}
    module = task.build().train()
    terms = module(task.batch([0, 1], 0).inputs)
    (terms["masked.loss"] + terms["unmasked.loss"]).backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad is None) == ("feature_extractor" in name), name


def test_units_that_are_missing_or_do_not_fit_are_named(task: SpeechTask) -> None:
    unknown = replace(task, clip_ids=("melody-0-2100",), durations_s=(2.1,))
    with pytest.raises(KeyError, match="no units of clip melody-0-2100"):
        unknown.batch([0], 0)

    class Short:
        version = "short"

        def units(self, _: str) -> np.ndarray[Any, Any]:
            return np.zeros(3, dtype=np.uint16)

    with pytest.raises(CorpusError, match="clip melody-1-900 has 3 units and 41 frames"):
        replace(task, units=Short()).batch([1], 0)


def test_whispers_encoder_is_refused(tmp_path: Path) -> None:
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperModel

    config = WhisperConfig(
        d_model=16, encoder_layers=1, encoder_attention_heads=2, decoder_layers=1,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=100,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    folder = tmp_path / "whisper"
    WhisperModel(config).encoder.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"whisper' is a whisper encoder, which masked units"):
        speech_task(run_config(tmp_path), 0, str(folder), INFOS, SOURCE, None)  # type: ignore[arg-type]


def test_an_encoder_that_changes_meanwhile_is_noticed(tmp_path: Path) -> None:
    folder = speech_checkpoint(tmp_path / "a", FAMILIES[0])
    task = task_of(run_config(tmp_path), str(folder))
    speech_checkpoint(folder, FAMILIES[0], initializer_range=0.1)
    with pytest.raises(EncoderError, match="changed while it was being trained"):
        task.build()


def test_heads_of_other_widths_are_refused(task: SpeechTask, tmp_path: Path) -> None:
    task.save(task.build(), tmp_path / "first")
    config = run_config(tmp_path, projection=4)
    with pytest.raises(EncoderError, match=HEADS):
        task_of(config, str(tmp_path / "first")).build()


def test_only_its_own_module_is_saved(task: SpeechTask, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="Linear is not the module"):
        task.save(torch.nn.Linear(1, 1), tmp_path)


def test_nothing_to_learn_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no clip is left"):
        prepare_units(run_config(tmp_path), 0, "", [], SOURCE, "", SilentProgress())
    with pytest.raises(CorpusError, match="no clip is left"):
        speech_task(run_config(tmp_path), 0, "", [], SOURCE, None)  # type: ignore[arg-type]
