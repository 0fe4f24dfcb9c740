"""The parts that blocks have in the speech vector."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.evaluation.layers import layer_parts, listening
from persona_ray.models.featurizer import Featurizer
from tests.unit.models.test_bimodal import RATE_HZ, TEXTS, WAVES, small_model


def featurizer(seed: int, layers: int, features: int | None) -> Featurizer:
    torch.manual_seed(seed)
    found = Featurizer(layers, features)
    with torch.no_grad():
        found.layer_weights.copy_(torch.randn(layers))
    if features is not None:
        found.fit(torch.randn(30, layers, features) * torch.rand(layers, features) * 5)
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
@torch.no_grad()
def test_parts_sum_to_one_and_say_how_far_each_block_carries(
    seed: int, layers: int, standardised: bool
) -> None:
    module = featurizer(seed, layers, 8 if standardised else None)
    pooled = torch.randn(5, layers, 8)
    parts = layer_parts(module, pooled)
    assert parts.sum(dim=1).tolist() == pytest.approx([1.0] * 5)
    vector = module(pooled)
    vector = vector - vector.mean(dim=-1, keepdim=True)
    for block in range(layers):
        alone = torch.zeros_like(pooled)
        if standardised:
            alone += module.centre
        alone[:, block] = pooled[:, block]
        only = module(alone)
        only = only - only.mean(dim=-1, keepdim=True)
        along = (only * vector).sum(dim=-1) / vector.pow(2).sum(dim=-1)
        assert parts[:, block].tolist() == pytest.approx(along.tolist(), abs=1e-4)


@torch.no_grad()
def test_a_loud_block_has_a_large_part_at_an_even_weight() -> None:
    module = Featurizer(3)
    torch.manual_seed(0)
    pooled = torch.randn(50, 3, 16) * torch.tensor([1.0, 10.0, 1.0])[:, None]
    parts = layer_parts(module, pooled).mean(dim=0)
    assert module.weights().tolist() == pytest.approx([1 / 3] * 3)
    assert parts[1] > 0.9


@torch.inference_mode()
def test_parts_are_collected_while_the_model_works_and_not_after() -> None:
    from persona_ray.models.collate import collate

    model = small_model()
    batch = collate(TEXTS, WAVES, None, model, RATE_HZ)
    plain = model(batch)
    with listening(model.featurizer) as found:
        assert torch.equal(model(batch), plain)
        model(batch)
    assert found.clips == 2 * len(TEXTS)
    pooled = model.encode(batch).speech
    assert pooled is not None
    assert model.featurizer is not None
    expected = layer_parts(model.featurizer, pooled).mean(dim=0).tolist()
    assert list(found.mean) == pytest.approx(expected)
    model(batch)
    assert found.clips == 2 * len(TEXTS)


def test_a_model_that_does_not_hear_has_no_parts() -> None:
    with listening(None) as found:
        pass
    assert found.mean == ()
