"""Arithmetic counted by hand, and what the device is measured to do."""

from __future__ import annotations

import time

import pytest
import torch

from persona_ray.errors import TrainingError
from persona_ray.training.engine.base import enable_activation_checkpointing
from persona_ray.training.pretrain.throughput import count_flops, matrix_product_peak, measure
from tests.unit.training.pretrain.toys import TOY, WIDTH, WORDS

CPU = torch.device("cpu")


def test_flops_are_those_of_the_matrices() -> None:
    sizes = sorted(TOY.sizes())
    words = sizes[len(sizes) // 2]
    block = 2 * WIDTH * 24 + 24 * WIDTH
    decoder = WIDTH * (WORDS + 2)
    # Two a weight forward, four backward; a frozen matrix has no gradient of its own.
    expected = words * (6 * (block + decoder) + 4 * WIDTH * WIDTH)
    module = TOY.build()
    assert count_flops(TOY, module, CPU, torch.float32) == pytest.approx(expected)
    assert module.training
    assert all(parameter.grad is None for parameter in module.parameters())
    throughput = measure(TOY, module, CPU, torch.float32)
    assert throughput.flops(2 * words) == pytest.approx(2 * expected)


def test_the_peak_is_what_a_product_takes() -> None:
    torch.set_num_threads(1)
    started = time.perf_counter()
    peak = matrix_product_peak(CPU, torch.float32)
    assert time.perf_counter() - started < 10
    left = torch.randn(512, 512)
    slowest = time.perf_counter()
    left @ left
    slowest = time.perf_counter() - slowest
    # A single small product is slower than the best of some large ones, but for noise.
    assert peak > 0.3 * 2 * 512**3 / slowest


def test_a_model_without_blocks_cannot_run_them_again() -> None:
    with pytest.raises(TrainingError, match="ToyModel has no blocks"):
        enable_activation_checkpointing(TOY.build())
