"""Vectors kept on disk: the same training as without, and nothing foreign or damaged is used."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from persona_ray.config import RunConfig
from persona_ray.config.learning import EvaluationConfig, LaunchConfig
from persona_ray.evaluation.compare import hear
from persona_ray.launch.compare import compare_modalities
from persona_ray.models.bimodal import BimodalModel
from persona_ray.progress import SilentProgress
from persona_ray.training.context import PlainContext
from persona_ray.training.finetune.encode import Pass
from persona_ray.training.finetune.inputs import LabelledClips, SpeechVectors
from persona_ray.training.finetune.run import Known, fit
from persona_ray.training.finetune.vectors import VectorCache, heard, key_of
from persona_ray.types import Example, Split
from tests.unit.training.toys import (
    LABELS,
    Tones,
    examples,
    model_config,
    tiny_model,
    training_config,
)

if TYPE_CHECKING:
    from persona_ray.types import Samples

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Counting(Tones):
    """Tones that remember who was heard."""

    asked: list[str] = field(default_factory=list)

    def samples(self, clip_id: str) -> Samples:
        self.asked.append(clip_id)
        return super().samples(clip_id)


def standardising(modality_seed: int = 0) -> BimodalModel:
    from persona_ray.models.build import build_model

    config = model_config()
    speech = config.speech.model_copy(update={"standardise": True})
    texts = [example.text for example in examples(60)]
    return build_model(
        config.model_copy(update={"speech": speech}), LABELS, texts, 8000, modality_seed
    )


@pytest.mark.parametrize("kept", [(), ("speech",)])
def test_training_from_kept_vectors_is_training_that_hears(
    tmp_path: Path, kept: tuple[str]
) -> None:
    train, dev = examples(37), examples(9, Split.DEV, first=37)
    config = training_config(4, 2).model_copy(update={"kept_frozen": kept})
    cache = VectorCache(tmp_path)
    plain, first, second = standardising(), standardising(), standardising()
    context = PlainContext(device=CPU)
    without = fit(plain, train, dev, Tones(), config, context)
    source = Counting()
    fit(first, train, dev, source, config, context, known=Known(cache=cache))
    heard_first = len(source.asked)
    source.asked.clear()
    history = fit(second, train, dev, source, config, context, known=Known(cache=cache))
    # Once for the vectors, which are there now.
    assert heard_first - len(source.asked) == len(train) + len(dev)
    assert [(e.loss, e.dev) for e in history.epochs] == [(e.loss, e.dev) for e in without.epochs]
    for name, value in plain.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_stages_share_what_was_heard(tmp_path: Path) -> None:
    clips, config = examples(30), training_config(2, 2)
    cache, source = VectorCache(tmp_path), Counting()
    context = PlainContext(device=CPU)
    fit(tiny_model(), clips[:20], [], source, config, context, known=Known(cache=cache))
    assert sorted(source.asked) == sorted(clip.clip_id for clip in clips[:20])
    source.asked.clear()
    found = hear(clips, model_config(), config, LABELS, source, cache)
    assert sorted(source.asked) == sorted(clip.clip_id for clip in clips[20:])
    plain = hear(clips, model_config(), config, LABELS, Tones())
    assert set(found) == set(plain)
    for name, vector in plain.items():
        np.testing.assert_allclose(found[name], vector, atol=2e-6)


def test_the_comparison_hears_nothing_that_finetuning_heard(tmp_path: Path) -> None:
    clips, source = examples(36), Counting()
    training = training_config(2, 1).model_copy(update={"kept_frozen": ("speech",)})
    config = RunConfig(
        model=model_config(),
        training=training,
        launch=LaunchConfig(backend="plain", cpus_per_worker=1),
        evaluation=EvaluationConfig(folds=2, sentence_split=False),
    )
    cache, context = VectorCache(tmp_path), PlainContext(device=CPU)
    fit(tiny_model(), clips, [], source, training, context, known=Known(cache=cache))
    source.asked.clear()
    arms = compare_modalities(config, clips, source, SilentProgress(), cache)
    assert source.asked == []
    plain = compare_modalities(config, clips, source, SilentProgress())
    for arm, other in zip(arms, plain, strict=True):
        for one, same in zip(arm.predictions, other.predictions, strict=True):
            assert one.probabilities == pytest.approx(same.probabilities, abs=1e-4)


def asked_for(cache: VectorCache, model: BimodalModel, clips: list[Example]) -> int:
    source = Counting()
    hear_now(LabelledClips(clips, source, model), cache)
    return len(source.asked)


def hear_now(clips: LabelledClips, cache: VectorCache | None) -> SpeechVectors:
    return heard(clips, Pass.alone(12.0, PlainContext(device=CPU)), cache)


def test_another_encoder_or_cut_hears_for_itself(tmp_path: Path) -> None:
    clips, cache = examples(6), VectorCache(tmp_path)
    assert asked_for(cache, tiny_model(), clips) == 6
    assert asked_for(cache, tiny_model(), clips) == 0
    again = [replace(clip, customer_id="another", text="other words") for clip in clips]
    assert asked_for(cache, tiny_model(), again) == 0
    shorter, trained = tiny_model(), tiny_model()
    shorter.max_clip_s = 0.5
    assert asked_for(cache, shorter, clips) == 6
    assert trained.speech is not None
    with torch.no_grad():
        trained.speech.model.encoder.layers[1].feed_forward.output_dense.bias[0] += 1e-3
    assert asked_for(cache, trained, clips) == 6
    quieter = tiny_model()
    assert quieter.speech is not None
    quieter.speech.preprocessor.do_normalize = True
    assert asked_for(cache, quieter, clips) == 6


def flip(data: bytes) -> bytes:
    return data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def empty(_data: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [flip, cut, empty])
def test_damaged_files_are_passed_over_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: object
) -> None:
    assert callable(damage)
    clips, cache = examples(6), VectorCache(tmp_path)
    asked_for(cache, tiny_model(), clips)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    assert asked_for(cache, tiny_model(), clips) == 6
    assert "passed over" in caplog.text
    assert asked_for(cache, tiny_model(), clips) == 0


def test_a_file_of_another_key_is_passed_over(tmp_path: Path) -> None:
    clips, cache = examples(6), VectorCache(tmp_path)
    model, shorter = tiny_model(), tiny_model()
    shorter.max_clip_s = 0.5
    asked_for(cache, shorter, clips)
    (file,) = tmp_path.rglob("*.safetensors")
    moved = tmp_path / key_of("speech", model, torch.float32) / file.name
    moved.parent.mkdir()
    file.rename(moved)
    assert asked_for(cache, model, clips) == 6


def test_a_clip_is_known_by_its_audio(tmp_path: Path) -> None:
    clips, cache = examples(6), VectorCache(tmp_path)
    asked_for(cache, tiny_model(), clips)
    # The same clips, cut or recorded anew: other audio under the same name.
    other = Counting(sample_rate_hz=16_000)
    hear_now(LabelledClips(clips, other, tiny_model()), cache)
    assert len(other.asked) == 6


def test_vectors_are_standardised_over_the_training_clips() -> None:
    clips, model = examples(24), standardising()
    before = model.speech.fingerprint() if model.speech else ""
    config = training_config(2, 1).model_copy(update={"kept_frozen": ("speech",)})
    fit(model, clips, [], Tones(), config, PlainContext(device=CPU))
    assert model.speech is not None
    assert model.featurizer is not None
    assert model.speech.fingerprint() == before
    found = hear_now(LabelledClips(clips, Tones(), model), None)
    pooled = torch.stack([torch.tensor(found[clip.clip_id]) for clip in clips])
    scaled = (pooled - model.featurizer.centre) / model.featurizer.scale
    torch.testing.assert_close(scaled.mean(dim=0), torch.zeros(2, 16), atol=1e-3, rtol=0)
    moved = pooled.var(dim=0, correction=0) > 1e-3
    torch.testing.assert_close(scaled.std(dim=0)[moved].mean(), torch.tensor(1.0), atol=0.1, rtol=0)
