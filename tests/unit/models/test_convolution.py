"""Fronts with channels last in memory: the numbers, gradients and parameters of the plain ones."""

from __future__ import annotations

import copy
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn

from persona_ray.models.convolution import FrontConvolution, Way, quicken

WAYS: tuple[Way, ...] = get_args(Way)
USUAL = {"conv_kernel": (10, 3, 3, 3, 3, 2, 2), "conv_stride": (5, 2, 2, 2, 2, 2, 2)}


def front(model_type: str = "hubert", norm: str = "layer", bias: bool = True, **sizes: Any) -> Any:
    """The front of a random model of the family."""
    from transformers import AutoConfig, AutoModel

    convolutions: dict[str, Any] = {**USUAL, **sizes}
    channels = (16, 24) * 4
    config = AutoConfig.for_model(
        model_type,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=channels[: len(convolutions["conv_kernel"])],
        conv_bias=bias,
        feat_extract_norm=norm,
        **convolutions,
    )
    torch.manual_seed(3)
    made = AutoModel.from_config(config).feature_extractor
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def by(way: Way, plain: Any) -> Any:
    made = copy.deepcopy(plain)
    quicken(made)
    for layer in made.conv_layers:
        assert isinstance(layer.conv, FrontConvolution)
        layer.conv.way = way
    return made


def waves(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


SHAPES: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"model_type": "wavlm"},
    {"model_type": "data2vec-audio"},
    # The small encoder's: windows of 64 ms every 10 ms.
    {"conv_kernel": (512, 3), "conv_stride": (80, 2)},
    # Windows that leave samples out between them.
    {"conv_kernel": (4, 2), "conv_stride": (7, 3)},
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("size", [(1, 4_000), (3, 5_001)])
def test_frames_are_those_of_the_plain_front(
    way: Way, shape: dict[str, Any], size: tuple[int, int]
) -> None:
    plain = front(**shape).eval()
    with torch.inference_mode():
        expected, found = plain(waves(*size)), by(way, plain)(waves(*size))
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", SHAPES[:2], ids=str)
def test_gradients_are_those_of_the_plain_front(way: Way, shape: dict[str, Any]) -> None:
    plain = front(**shape)
    quick = by(way, plain)
    inputs = []
    for made in (plain, quick):
        made._requires_grad = False
        inputs.append(waves(2, 4_000).requires_grad_())
        made(inputs[-1]).square().sum().backward()
    torch.testing.assert_close(inputs[1].grad, inputs[0].grad, rtol=1e-4, atol=1e-4)
    others = dict(quick.named_parameters())
    for name, parameter in plain.named_parameters():
        assert parameter.grad is not None
        scale = parameter.grad.abs().max().item()
        torch.testing.assert_close(
            others[name].grad, parameter.grad, rtol=1e-4, atol=1e-5 * scale, msg=name
        )


@pytest.mark.parametrize("way", WAYS)
def test_in_bf16_it_is_no_further_from_fp32(way: Way) -> None:
    plain = front().eval()
    with torch.inference_mode():
        exact = plain(waves(2, 8_000))
        with torch.autocast("cpu", torch.bfloat16):
            rounded, found = plain(waves(2, 8_000)), by(way, plain)(waves(2, 8_000))
    assert found.dtype == rounded.dtype
    errors = [(one.float() - exact).square().mean().sqrt().item() for one in (found, rounded)]
    assert 0 < errors[0] < 1.2 * errors[1]


def test_parameters_keep_names_and_identity() -> None:
    plain = front()
    before = dict(plain.named_parameters())
    state = torch.get_rng_state()
    quicken(plain)
    assert {name: id(value) for name, value in plain.named_parameters()} == {
        name: id(value) for name, value in before.items()
    }
    assert list(plain.state_dict()) == list(before)
    # Weights that are drawn afterwards are what they were.
    assert torch.equal(torch.get_rng_state(), state)


def test_a_front_that_learns_goes_the_plain_way() -> None:
    plain = front()
    plain._requires_grad = False
    quick = copy.deepcopy(plain)
    quicken(quick)
    assert torch.equal(quick(waves(2, 4_000)), plain(waves(2, 4_000)))


def test_channels_stay_last_from_layer_to_layer() -> None:
    quick = by("channels_last", front()).eval()
    seen: list[bool] = []
    for layer in quick.conv_layers:
        layer.register_forward_hook(
            lambda _layer, _inputs, output: seen.append(output.transpose(1, 2).is_contiguous())
        )
    quick(waves(2, 4_000))
    assert seen == [True] * 7


def test_what_is_not_of_the_kind_is_left_alone() -> None:
    grouped, padded = front(norm="group"), front()
    padded.conv_layers[3].conv = nn.Conv1d(24, 24, 3, 2, padding=1)
    for made in (grouped, padded):
        quicken(made)
        assert not any(isinstance(module, FrontConvolution) for module in made.modules())
