"""The loss of labelled clips against formulas and torch's own."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from persona_ray.objectives.classification import summed_focal_loss

LOGITS = st.lists(st.lists(st.floats(-20, 20), min_size=4, max_size=4), min_size=1, max_size=8)


def targets_of(logits: torch.Tensor) -> torch.Tensor:
    return torch.arange(len(logits)) % 4


@given(LOGITS)
def test_without_gamma_it_is_cross_entropy(rows: list[list[float]]) -> None:
    logits = torch.tensor(rows)
    targets = targets_of(logits)
    weights = torch.tensor([1.0, 0.5, 2.0, 3.0])
    expected = F.cross_entropy(logits, targets, reduction="sum")
    torch.testing.assert_close(summed_focal_loss(logits, targets), expected)
    expected = F.cross_entropy(logits, targets, weights, reduction="sum")
    torch.testing.assert_close(summed_focal_loss(logits, targets, weights), expected)


@given(LOGITS, st.floats(0.5, 5.0))
def test_focal_loss_is_the_formula(rows: list[list[float]], gamma: float) -> None:
    logits = torch.tensor(rows, dtype=torch.float64)
    targets = targets_of(logits)
    chosen = torch.softmax(logits, -1)[torch.arange(len(logits)), targets]
    expected = (-((1 - chosen) ** gamma) * chosen.log()).sum()
    torch.testing.assert_close(
        summed_focal_loss(logits, targets, gamma=gamma), expected, rtol=1e-6, atol=1e-9
    )


def test_a_clip_that_is_surely_right_has_a_finite_gradient() -> None:
    logits = torch.tensor([[80.0, 0.0, 0.0, 0.0]], requires_grad=True)
    summed_focal_loss(logits, torch.tensor([0]), gamma=0.5).backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_what_is_told_well_counts_less() -> None:
    logits = torch.tensor([[3.0, 0, 0, 0], [0.1, 0, 0, 0]])
    alone = [summed_focal_loss(row[None], torch.tensor([0]), gamma=2.0).item() for row in logits]
    plain = [summed_focal_loss(row[None], torch.tensor([0])).item() for row in logits]
    assert alone[0] / plain[0] < 0.02
    assert alone[1] / plain[1] == pytest.approx((1 - 0.2698) ** 2, rel=0.01)
