"""The loss of the ranker against the plain definition."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from persona_ray.objectives.ranking import contrastive

COUNTS = st.lists(st.integers(1, 4), min_size=5, max_size=5)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), counts=COUNTS)
def test_met_as_often_as_expected_it_is_the_softmax_over_all(seed: int, counts: list[int]) -> None:
    torch.manual_seed(seed)
    scores, own = torch.randn(3, 5) * 4, torch.tensor([0, 4, 2])
    expected = torch.tensor(counts).float().expand(3, 5)
    loss = contrastive(scores, own, expected / expected, torch.ones(3))
    assert loss.item() == pytest.approx(
        torch.nn.functional.cross_entropy(scores, own).item(), rel=1e-5, abs=1e-6
    )


def test_drawn_negatives_give_the_whole_sum_on_average() -> None:
    """Whatever the shares that they are drawn by: exp(loss) - 1 is the others' sum over e^s_own."""
    torch.manual_seed(0)
    scores, own = torch.randn(1, 6), torch.tensor([0])
    shares = torch.tensor([0.3, 0.3, 0.2, 0.1, 0.05, 0.05])
    draws, met = 4, 20_000
    columns = torch.multinomial(shares.expand(met, 6), draws, replacement=True)
    counts = torch.nn.functional.one_hot(columns, 6).sum(dim=1) / (draws * shares)
    sums = [contrastive(scores, own, row[None], torch.ones(1)).exp() - 1 for row in counts[:4000]]
    whole = (scores[0, 1:].exp().sum() / scores[0, 0].exp()).item()
    assert torch.stack(sums).mean().item() == pytest.approx(whole, rel=0.05)


def test_a_pair_without_weight_teaches_nothing() -> None:
    scores = torch.randn(2, 3, requires_grad=True)
    met = torch.ones(2, 3)
    loss = contrastive(scores, torch.tensor([0, 1]), met, torch.tensor([1.0, 0.0]))
    loss.backward()
    assert scores.grad is not None
    assert scores.grad[0].abs().sum() > 0
    assert scores.grad[1].abs().sum() == 0
