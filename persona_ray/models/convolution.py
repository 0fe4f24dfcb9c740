"""The convolutions of a front, channels last in memory: the same numbers, sooner on processors.

In fronts with a layer norm behind each convolution (all large models have it) transformers turns
what a convolution gives to channels last for the norm, and back for the next convolution. Here the
memory stays channels last throughout, and the tensors are views of it with the usual shapes, so
that the norm and the activation around a convolution need not know.

Shapes: batch B, channels C, samples or frames T.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# plain: torch's convolution of channels that lie one after the other.
# channels_last: oneDNN's convolution of frames that lie one after the other.
# products: overlapping windows of such frames, times the weight as one matrix.
Way = Literal["plain", "channels_last", "products"]


def quicken(front: Any) -> None:
    """Replace the convolutions of a Hugging Face front by `FrontConvolution`s with the same
    parameters, where every one of them has a layer norm behind it."""
    layers = list(front.conv_layers)
    if not all(isinstance(getattr(layer, "layer_norm", None), nn.LayerNorm) for layer in layers):
        return
    if not all(FrontConvolution.takes(layer.conv) for layer in layers):
        return
    for layer in layers:
        layer.conv = FrontConvolution(layer.conv)


def way_for(device: torch.device, products_in: torch.dtype) -> Way:
    """Which is fastest where the front is not trained, by what the processor has and not by a
    stopwatch: a run that goes on must not round otherwise than it began. Measured in
    docs/decisions/0017-speech-front.md."""
    if device.type != "cpu" or not _vector_units():
        return "plain"
    return "products" if products_in == torch.bfloat16 and _matrix_units() else "channels_last"


class FrontConvolution(nn.Conv1d):
    """A Conv1d without padding, dilation and groups."""

    # Which way to go; None: the fastest, and the plain one while it learns.
    way: Way | None = None

    def __init__(self, like: nn.Conv1d) -> None:
        """Takes over the parameters of `like`, under the same names."""
        # On "meta": nothing is drawn for weights that are thrown away.
        super().__init__(
            like.in_channels,
            like.out_channels,
            like.kernel_size[0],
            like.stride[0],
            bias=like.bias is not None,
            device="meta",
        )
        self.weight, self.bias = like.weight, like.bias

    @staticmethod
    def takes(module: Any) -> bool:
        return (
            type(module) is nn.Conv1d
            and module.padding == (0,)
            and module.dilation == (1,)
            and module.groups == 1
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` (B, C, T) -> (B, C', T'), channels last in memory but for "plain"."""
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        way = self.way or ("plain" if learns else way_for(hidden.device, _products_in(hidden)))
        if way == "plain":
            return super().forward(hidden)
        frames = hidden.transpose(1, 2).contiguous()
        return self._convolved(frames) if way == "channels_last" else self._multiplied(frames)

    def _convolved(self, frames: Tensor) -> Tensor:
        # As an image of one row: only these know channels last.
        image = frames.transpose(1, 2)[:, :, None]
        weight = self.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        return F.conv2d(image, weight, self.bias, stride=(1, self.stride[0]))[:, :, 0]

    def _multiplied(self, frames: Tensor) -> Tensor:
        (kernel,), (stride,) = self.kernel_size, self.stride
        batch, length, channels = frames.shape
        windows = frames.as_strided(
            (batch, (length - kernel) // stride + 1, kernel * channels),
            (length * channels, stride * channels, 1),
        )
        return F.linear(windows, self.weight.transpose(1, 2).flatten(1), self.bias).transpose(1, 2)


def _products_in(hidden: Tensor) -> torch.dtype:
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


@cache
def _vector_units() -> bool:
    """Whether oneDNN has code for this processor."""
    onednn: Any = torch.backends.mkldnn
    return bool(onednn.is_available()) and torch.backends.cpu.get_cpu_capability() in (
        "AVX2",
        "AVX512",
    )


@cache
def _matrix_units() -> bool:
    """AMX, on bf16."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))
