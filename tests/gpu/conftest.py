"""Tests that need a GPU: `make gpu`. Without one they are skipped, and say so."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here (torch.cuda.is_available() is False)")
