"""HuBERT's objective: equal to torchaudio's, blind to padding, and learnable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from persona_ray.errors import ModelError
from persona_ray.models.speech import SpeechEncoder
from persona_ray.objectives.masked_units import MaskedUnits
from tests.unit.models.checkpoints import (
    FAMILIES,
    LEAKY,
    RATE_HZ,
    Family,
    padded,
    speech_checkpoint,
    waves,
)
from tests.unit.objectives.speech_toys import QUIET

HUBERTS = FAMILIES[:2]
LENGTHS = (16_000, 9_731, 3_200, 401)
UNITS = 7


@pytest.fixture(params=FAMILIES, ids=str)
def family(request: pytest.FixtureRequest) -> Family:
    chosen: Family = request.param
    return chosen


def module(folder: Path, family: Family, temperature: float = 0.1, **changes: Any) -> MaskedUnits:
    encoder = SpeechEncoder.load(str(speech_checkpoint(folder, family, **QUIET, **changes)))
    torch.manual_seed(3)
    return MaskedUnits(encoder, UNITS, 12, temperature, unmasked=True, penalty=True)


def inputs(encoder: SpeechEncoder, clips: list[np.ndarray[Any, Any]]) -> dict[str, Tensor]:
    """Units and masks drawn for each clip by its length, so that a clip has its own anywhere."""
    batch, lengths = padded(clips, beyond=2.0)
    frames = encoder.frames(lengths)
    units = torch.full((len(clips), int(frames.max())), -1)
    masked = torch.zeros_like(units, dtype=torch.bool)
    for row, (clip, count) in enumerate(zip(clips, frames.tolist(), strict=True)):
        rng = np.random.default_rng(len(clip))
        units[row, :count] = torch.from_numpy(rng.integers(0, UNITS, count))
        masked[row, :count] = torch.from_numpy(rng.random(count) < 0.5)
    return {"waves": batch, "lengths": lengths, "units": units, "masked": masked}


def test_a_batch_sums_what_its_clips_have_alone(family: Family, tmp_path: Path) -> None:
    model = module(tmp_path, family).eval()
    clips = waves(*LENGTHS)
    together = model(inputs(model.encoder, clips))
    alone = [model(inputs(model.encoder, [clip])) for clip in clips]
    assert set(together) == {
        "masked.loss", "masked.correct", "unmasked.loss", "unmasked.correct", "penalty.loss",
    }  # fmt: skip
    for term, total in together.items():
        assert total.ndim == 0
        torch.testing.assert_close(total, sum(part[term] for part in alone), rtol=1e-4, atol=1e-3)


def test_gradients_do_not_depend_on_neighbours_either(family: Family, tmp_path: Path) -> None:
    model = module(tmp_path, family).train()

    def gradients(batches: list[list[np.ndarray[Any, Any]]]) -> dict[str, Tensor]:
        model.zero_grad()
        for clips in batches:
            terms = model(inputs(model.encoder, clips))
            (terms["masked.loss"] + terms["unmasked.loss"] + terms["penalty.loss"]).backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    clips = waves(16_000, 5_000, 900)
    together, alone = gradients([clips]), gradients([[clip] for clip in clips])
    assert set(together) == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, gradient in together.items():
        scale = max(float(alone[name].abs().max()), 1.0)
        torch.testing.assert_close(gradient / scale, alone[name] / scale, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("family", HUBERTS, ids=str)
@torch.inference_mode()
def test_logits_and_losses_are_torchaudios(family: Family, tmp_path: Path) -> None:
    """Tolerance: 1e-4 of each logit (they lie within +-10), 1e-5 of the losses.

    Clips of one length: torchaudio's group norm and feature penalty run over padding, too.
    """
    from torchaudio.models.wav2vec2.components import LogitGenerator
    from torchaudio.models.wav2vec2.model import HuBERTPretrainModel
    from torchaudio.models.wav2vec2.utils import import_huggingface_model

    model = module(tmp_path, family).eval()
    first: Any = model.encoder.model.feature_extractor.conv_layers[0]
    batch = inputs(model.encoder, waves(9_731, 9_731, 9_731))
    ours = model(batch)
    last, valid, _ = model.frames(batch["waves"], batch["lengths"], batch["masked"])
    assert valid.all()

    class Given(nn.Module):
        def forward(self, frames: Tensor, _padding: Tensor | None) -> tuple[Tensor, Tensor]:
            frames[batch["masked"]] = model.encoder.model.masked_spec_embed
            return frames, batch["masked"]

    heads = LogitGenerator(24, UNITS, 12, skip_masked=False, skip_nomask=False)
    heads.label_embeddings = model.units
    heads.final_proj = model.projection
    if family.norm == "group":
        plain = nn.GroupNorm(first.layer_norm.num_groups, first.layer_norm.num_channels)
        plain.load_state_dict(first.layer_norm.state_dict())
        first.layer_norm = plain
    reference = HuBERTPretrainModel(
        import_huggingface_model(model.encoder.model), Given(), heads, None
    ).eval()
    # The encoder normalises a clip; torchaudio takes it as it is.
    centred = batch["waves"] - batch["waves"].mean(dim=1, keepdim=True)
    samples = centred / torch.sqrt(centred.square().mean(dim=1, keepdim=True) + 1e-7)
    masked, unmasked, penalty = reference(samples, batch["units"].clone())
    for name, chosen, theirs in (
        ("masked", batch["masked"], masked),
        ("unmasked", ~batch["masked"], unmasked),
    ):
        targets = batch["units"][chosen]
        logits = model.logits(last[chosen])
        # Theirs: the target's logit first, then those of all units, the target's at minus infinity.
        filled = theirs[:, 1:].scatter(1, targets[:, None], theirs[:, :1])
        torch.testing.assert_close(logits, filled, rtol=0, atol=1e-4)
        loss = nn.functional.cross_entropy(theirs, torch.zeros_like(targets), reduction="sum")
        torch.testing.assert_close(ours[f"{name}.loss"], loss, rtol=1e-5, atol=0)
    torch.testing.assert_close(ours["penalty.loss"] / valid.sum(), penalty, rtol=1e-5, atol=0)


@pytest.mark.parametrize("family", HUBERTS, ids=str)
def test_checkpointed_activations_give_the_same_gradients(family: Family, tmp_path: Path) -> None:
    found: list[dict[str, Tensor]] = []
    runs: list[int] = []
    for checkpointed in (False, True):
        model = module(tmp_path / str(checkpointed), family).train()
        count = 0

        def counted(*_: Any) -> None:
            nonlocal count
            count += 1

        # Inside of what is run again, a hook is called twice.
        block = model.encoder.model.encoder.layers[1]
        block.feed_forward.register_forward_pre_hook(counted)
        if checkpointed:
            model.encoder.model.gradient_checkpointing_enable({"use_reentrant": False})
        terms = model(inputs(model.encoder, waves(9_000, 3_000)))
        (terms["masked.loss"] + terms["penalty.loss"]).backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        runs.append(count)
    assert runs == [1, 2]
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(gradient, found[1][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", HUBERTS, ids=str)
def test_every_trained_parameter_takes_part_also_without_a_target(
    family: Family, tmp_path: Path
) -> None:
    model = module(tmp_path, family).train()
    batch = inputs(model.encoder, waves(3_000))
    batch["masked"][:] = False
    terms = model(batch)
    assert terms["masked.loss"] == 0
    assert terms["masked.correct"] == 0
    terms["masked.loss"].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_a_masked_frame_is_not_heard(tmp_path: Path) -> None:
    """With the front's first convolution alone as context, what stands there does not matter."""
    model = module(tmp_path, HUBERTS[1]).eval()
    batch = inputs(model.encoder, waves(8_000))
    batch["masked"][:] = True
    other = dict(batch, waves=torch.from_numpy(np.stack(waves(8_000, seed=9))))
    torch.testing.assert_close(
        model(batch)["masked.loss"], model(other)["masked.loss"], rtol=1e-5, atol=0
    )
    batch["masked"][:] = False
    other["masked"] = batch["masked"]
    assert not torch.isclose(model(batch)["unmasked.loss"], model(other)["unmasked.loss"])


def test_half_precision_weights_take_samples_as_they_are(tmp_path: Path) -> None:
    model = module(tmp_path, HUBERTS[1]).eval()
    batch = inputs(model.encoder, waves(8_000))
    expected = model(batch)["masked.loss"]
    halved = model.bfloat16()(batch)["masked.loss"]
    assert halved.dtype == torch.float32
    assert halved.item() == pytest.approx(expected.item(), rel=0.2)


def test_it_learns(tmp_path: Path) -> None:
    """Units are told by loudness; masked ones by their neighbours: it comes in blocks."""
    model = module(tmp_path, HUBERTS[1]).train()
    grid = model.encoder
    rng = np.random.default_rng(0)
    frames = int(grid.frames(torch.tensor([16_000])))
    loud = np.repeat(rng.integers(0, 2, (8, frames // 25 + 1)), 25, axis=1)[:, :frames]
    gain = np.repeat(0.1 + 0.9 * loud, 320, axis=1)[:, :16_000]
    gain = np.pad(gain, ((0, 0), (0, 16_000 - gain.shape[1])), mode="edge")
    samples = (rng.standard_normal((8, 16_000)) * gain).astype(np.float32)
    masked = np.zeros((8, frames), dtype=bool)
    masked[:, 5:10] = masked[:, 30:35] = True
    batch = {
        "waves": torch.from_numpy(samples),
        "lengths": torch.full((8,), 16_000),
        "units": torch.from_numpy(loud),
        "masked": torch.from_numpy(masked),
    }
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        terms = model(batch)
        losses.append(float(terms["masked.loss"]) / masked.sum())
        (terms["masked.loss"] / masked.sum()).backward()
        optimizer.step()
    assert losses[0] > 1.2
    assert losses[-1] < 0.4 < losses[0]
    assert float(model(batch)["masked.correct"]) / masked.sum() > 0.85


def test_a_checkpoint_without_a_masking_vector_gets_one(tmp_path: Path) -> None:
    from transformers import HubertModel

    model = module(tmp_path / "a", HUBERTS[1], mask_time_prob=0.0)
    model.encoder.save(tmp_path / "b")
    again = HubertModel.from_pretrained(tmp_path / "b")
    assert torch.equal(again.masked_spec_embed, model.encoder.model.masked_spec_embed)
    assert not again.config.apply_spec_augment


def test_units_of_another_rate_are_refused(tmp_path: Path) -> None:
    model = module(tmp_path, HUBERTS[0])
    batch = inputs(model.encoder, waves(8_000))
    batch["units"] = batch["units"][:, :-1]
    batch["masked"] = batch["masked"][:, :-1]
    with pytest.raises(ModelError, match="makes 24 frames where 23 have units"):
        model(batch)


def test_a_family_whose_padding_leaks_is_refused(tmp_path: Path) -> None:
    encoder = SpeechEncoder.load(str(speech_checkpoint(tmp_path, LEAKY)))
    assert encoder.sample_rate_hz == RATE_HZ
    with pytest.raises(ModelError, match="data2vec-audio"):
        MaskedUnits(encoder, UNITS, 12, 0.1, unmasked=False, penalty=True)
