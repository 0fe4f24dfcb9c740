"""Front frames kept on disk: the training of the plain loop, and nothing foreign or damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from persona_ray.config import load_config
from persona_ray.config.engine import EngineConfig
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.agreement import Agreement
from persona_ray.training.context import PlainContext
from persona_ray.training.finetune.encode import Pass
from persona_ray.training.finetune.front_cache import FrontCache
from persona_ray.training.finetune.fronts import key_of, with_fronts
from persona_ray.training.finetune.inputs import LabelledClips
from persona_ray.training.finetune.run import Known, fit
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Example, Split
from tests.unit.training.test_fit import assert_same_weights, reference, whole_updates
from tests.unit.training.test_vectors import Counting, cut, empty, flip
from tests.unit.training.toys import Tones, examples, tiny_model, training_config
from tests.workers import Workers

CPU = torch.device("cpu")
FP32, BF16 = EngineConfig(precision="fp32"), EngineConfig(precision="bf16")


def cached(config: Any) -> Any:
    return config.model_copy(update={"cache_front": True})


def test_a_run_with_the_cache_equals_a_plain_loop(tmp_path: Path) -> None:
    config, train = whole_updates(training_config(epochs=4, frozen_epochs=2)), examples(37)
    plain, ours = tiny_model(), tiny_model()
    losses = reference(plain, train, config)
    source, known = Counting(), Known(cache=VectorCache(tmp_path))
    history = fit(ours, train, [], source, cached(config), PlainContext(device=CPU), known=known)
    assert [epoch.loss for epoch in history.epochs] == pytest.approx(losses, abs=1e-4)
    assert_same_weights(plain, ours, 1e-3)
    # Once for the vectors of the frozen epochs, once for the frames of the others.
    assert sorted(source.asked) == sorted(2 * [clip.clip_id for clip in train])


def test_the_next_run_hears_nothing(tmp_path: Path) -> None:
    train, dev = examples(24), examples(9, Split.DEV, first=24)
    config, known = cached(training_config(3, 1)), Known(cache=VectorCache(tmp_path))
    source, histories = Counting(), []
    for _ in range(2):
        source.asked.clear()
        model = tiny_model()
        context = PlainContext(device=CPU)
        histories.append(fit(model, train, dev, source, config, context, known=known))
    assert source.asked == []
    assert [(e.loss, e.dev) for e in histories[0].epochs] == [
        (e.loss, e.dev) for e in histories[1].epochs
    ]


def feed(
    folder: Path, model: BimodalModel, clips: list[Example], engine: EngineConfig = FP32
) -> tuple[LabelledClips, Counting]:
    """`clips` behind the cache, and who was heard for it."""
    source = Counting()
    parts = LabelledClips(clips, source, model), LabelledClips([], source, model)
    how = Pass.alone(5.0, PlainContext(device=CPU), engine)
    fed, _ = with_fronts(parts, how, FrontCache(folder))
    return fed, source


def pooled(fed: LabelledClips, model: BimodalModel) -> torch.Tensor:
    assert model.speech is not None
    inputs = fed.inputs(range(len(fed.examples)))
    assert "waves" not in inputs
    with torch.no_grad():
        return model.speech.pooled_from(inputs["front"], inputs["lengths"])


def from_audio(model: BimodalModel, clips: list[Example]) -> torch.Tensor:
    assert model.speech is not None
    inputs = LabelledClips(clips, Tones(), model).inputs(range(len(clips)))
    with torch.no_grad():
        return model.speech.pooled(inputs["waves"], inputs["lengths"])


@pytest.mark.parametrize(
    ("engine", "stored", "tolerance"), [(FP32, torch.float32, 1e-5), (BF16, torch.bfloat16, 2e-2)]
)
def test_frames_are_those_of_the_front(
    tmp_path: Path, engine: EngineConfig, stored: torch.dtype, tolerance: float
) -> None:
    model, clips = tiny_model().eval(), examples(7)
    fed, _ = feed(tmp_path, model, clips, engine)
    assert fed.inputs([0, 3])["front"].dtype == stored
    with torch.autocast("cpu", torch.bfloat16, enabled=engine is BF16):
        found, expected = pooled(fed, model), from_audio(model, clips)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_in_bf16_it_learns_the_same(tmp_path: Path) -> None:
    train, context, losses = examples(12), PlainContext(device=CPU), []
    for config in (training_config(2, 1), cached(training_config(2, 1))):
        known = Known(cache=VectorCache(tmp_path))
        history = fit(tiny_model(), train, [], Tones(), config, context, engine=BF16, known=known)
        losses.append([epoch.loss for epoch in history.epochs])
    assert losses[0] == pytest.approx(losses[1], abs=1e-2)


def heard_anew(folder: Path, model: BimodalModel, clips: list[Example]) -> int:
    return len(feed(folder, model, clips)[1].asked)


def test_another_front_cut_or_format_hears_for_itself(tmp_path: Path) -> None:
    clips = examples(6)
    assert heard_anew(tmp_path, tiny_model(), clips) == 6
    assert heard_anew(tmp_path, tiny_model(), clips) == 0
    assert heard_anew(tmp_path, tiny_model(), examples(8)) == 2
    trained, shorter, louder, other = (tiny_model() for _ in range(4))
    assert trained.speech is not None
    assert louder.speech is not None
    assert other.speech is not None
    with torch.no_grad():
        trained.speech.model.encoder.layers[1].feed_forward.output_dense.bias[0] += 1e-3
        other.speech.model.feature_extractor.conv_layers[1].conv.bias[0] += 1e-3
    # What is behind the front does not count.
    assert heard_anew(tmp_path, trained, clips) == 0
    shorter.max_clip_s = 0.5
    louder.speech.preprocessor.do_normalize = True
    for model in (shorter, louder, other):
        assert heard_anew(tmp_path, model, clips) == 6
    assert len(feed(tmp_path, tiny_model(), clips, BF16)[1].asked) == 6


def test_a_clip_is_known_by_its_audio(tmp_path: Path) -> None:
    clips, model = examples(6), tiny_model()
    heard_anew(tmp_path, model, clips)
    renamed = [replace(clip, customer_id="another", text="other words") for clip in clips]
    assert heard_anew(tmp_path, model, renamed) == 0
    # The same clips recorded anew.
    source = Counting(sample_rate_hz=16_000)
    parts = LabelledClips(clips, source, model), LabelledClips([], source, model)
    with_fronts(parts, Pass.alone(5.0, PlainContext(device=CPU), FP32), FrontCache(tmp_path))
    assert len(source.asked) == 6


def flip_early(data: bytes) -> bytes:
    """In the frames, of one clip."""
    at = len(data) // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(("damage", "lost"), [(flip_early, 1), (cut, 6), (empty, 6)])
def test_damaged_frames_are_computed_again_at_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any, lost: int
) -> None:
    clips, model = examples(6), tiny_model().eval()
    feed(tmp_path, model, clips)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(damage(file.read_bytes()))
    fed, source = feed(tmp_path, model, clips)
    assert len(source.asked) == lost
    assert "passed over" in caplog.text
    torch.testing.assert_close(pooled(fed, model), from_audio(model, clips), rtol=1e-5, atol=1e-5)
    assert heard_anew(tmp_path, model, clips) == 0


@pytest.mark.parametrize("damage", [flip_early, flip])
def test_damage_between_two_batches_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: Any
) -> None:
    clips, model = examples(6), tiny_model().eval()
    fed, source = feed(tmp_path, model, clips)
    expected = pooled(fed, model)
    source.asked.clear()
    (file,) = tmp_path.rglob("*.safetensors")
    with file.open("r+b") as opened:
        data = opened.read()
        opened.seek(0)
        # In place: the file is mapped.
        opened.write(damage(data))
    for _ in range(2):
        torch.testing.assert_close(pooled(fed, model), expected, rtol=1e-5, atol=1e-5)
    assert len(source.asked) == 1
    assert f"front frames of clip {source.asked[0]} in" in caplog.text
    assert heard_anew(tmp_path, model, clips) == 0


def test_what_an_engine_does_to_the_model_does_not_reach_frames(tmp_path: Path) -> None:
    clips, model = examples(3), tiny_model().eval()
    fed, _ = feed(tmp_path, model, clips)
    expected = fed.inputs([0, 1, 2])["front"]
    assert model.speech is not None
    with torch.no_grad():
        for parameter in model.speech.model.feature_extractor.parameters():
            parameter.zero_()
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    again, _ = feed(tmp_path / "empty", model, clips)
    assert not torch.allclose(again.inputs([0, 1, 2])["front"], expected)
    torch.testing.assert_close(fed.inputs([0, 1, 2])["front"], expected, rtol=1e-5, atol=1e-5)


def test_frames_of_another_front_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clips, model, shorter = examples(6), tiny_model(), tiny_model()
    shorter.max_clip_s = 0.5
    feed(tmp_path, shorter, clips)
    (file,) = tmp_path.rglob("*.safetensors")
    moved = tmp_path / key_of(model, torch.float32) / file.name
    moved.parent.mkdir()
    file.rename(moved)
    assert heard_anew(tmp_path, model, clips) == 6
    assert "another front" in caplog.text


def test_no_room_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "persona_ray.training.finetune.fronts.shutil.disk_usage",
        lambda _folder: type("Usage", (), {"free": 1000})(),
    )
    with pytest.raises(TrainingError, match=r"cache_front needs 0\.0 GB .* set it to false"):
        feed(tmp_path, tiny_model(), examples(6))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_front_that_is_trained_cannot_be_kept() -> None:
    load_config(None, ["training.cache_front=true"])
    with pytest.raises(ConfigError, match="freeze_front = true"):
        load_config(None, ["training.cache_front=true", "training.freeze_front=false"])


CLIPS = examples(11)


def work(rank: int, root: Path, shared: bool) -> None:
    model, source = tiny_model().eval(), Counting()
    context = PlainContext(rank=rank, world_size=2, device=CPU)
    cache = FrontCache(root / ("frames" if shared else f"frames-{rank}"))
    parts = LabelledClips(CLIPS[:8], source, model), LabelledClips(CLIPS[8:], source, model)
    agreement = Agreement(2)
    train, dev = with_fronts(parts, Pass(5.0, FP32, context, agreement), cache)
    asked = list(source.asked)
    both = torch.cat([pooled(train, model), pooled(dev, model)])
    close = torch.allclose(both, from_audio(model, CLIPS), atol=1e-5)
    (root / f"{rank}.json").write_text(json.dumps({"asked": asked, "close": close}))
    agreement.close()


@pytest.mark.parametrize("shared", [True, False])
def test_workers_share_the_work(tmp_path: Path, workers: Workers, shared: bool) -> None:
    workers.together(work, tmp_path, shared)
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert all(one["close"] for one in told)
    every = sorted(clip.clip_id for clip in CLIPS)
    if shared:
        assert sorted(told[0]["asked"] + told[1]["asked"]) == every
        assert all(5 <= len(one["asked"]) <= 6 for one in told)
    else:
        # Each has all on its own disk.
        assert [sorted(one["asked"]) for one in told] == [every, every]
