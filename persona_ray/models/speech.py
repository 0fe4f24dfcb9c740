"""The speech tower of any Hugging Face encoder of the wav2vec 2.0 family (HuBERT, WavLM, ...).

Shapes: batch B, samples S, channels C of the front, layers L (Transformer blocks), frames T,
features F.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from persona_ray.errors import EncoderError
from persona_ray.models.convolution import quicken
from persona_ray.models.pretrained import quiet, read_model, reading_encoder
from persona_ray.models.tower import SpeechTower, mask_of

# Families whose blocks see a padded clip as they see it alone, given the attention mask. In others
# (data2vec: a stack of convolutions after the zeroing of padding) it leaks; they run clip by clip.
PADDING_SAFE = frozenset({"hubert", "wav2vec2", "wavlm", "unispeech", "unispeech-sat"})

# What one call of the encoder tells the hooks inside it; a context variable, so that two threads
# may use one encoder.
_BLOCK_OUTPUTS: ContextVar[list[Tensor] | None] = ContextVar("_BLOCK_OUTPUTS", default=None)
_FIRST_FRAMES: ContextVar[Tensor | None] = ContextVar("_FIRST_FRAMES", default=None)


class SpeechEncoder(SpeechTower):
    """Waves in, the outputs of the L Transformer blocks out.

    A block output is what the block itself returns: in "stable layer norm" models it is not yet
    through the encoder's last layer norm. The input of the first block (the convolutional front's
    projection) is not among them. `sample_rate_hz` and the normalisation of each clip to zero mean
    and unit variance (`do_normalize`) come from the checkpoint's preprocessor_config.json.
    """

    masked_units = True
    hears = "wave"

    def __init__(self, model: Any, preprocessor: Any) -> None:
        """`model`: a transformers model; `preprocessor`: its Wav2Vec2FeatureExtractor."""
        super().__init__()
        blocks = getattr(getattr(model, "encoder", None), "layers", None)
        front: Any = getattr(model, "feature_extractor", None)
        if not isinstance(blocks, nn.ModuleList) or not hasattr(front, "conv_layers"):
            raise EncoderError(
                f"speech encoder of type '{model.config.model_type}' has no encoder.layers behind "
                "a convolutional front: use a HuBERT, wav2vec 2.0 or WavLM checkpoint"
            )
        self.model = model
        self.preprocessor = preprocessor
        # Ranks and reruns must agree: nothing is dropped or masked at random but by dropout.
        model.config.layerdrop = 0.0
        model.config.apply_spec_augment = False
        for block in blocks:
            block.register_forward_hook(_keep_output)
        first = front.conv_layers[0]
        if isinstance(getattr(first, "layer_norm", None), nn.GroupNorm):
            first.layer_norm = ValidFramesNorm(first.layer_norm)
        quicken(front)
        self.set_frozen(False)

    @classmethod
    def load(cls, path: str) -> SpeechEncoder:
        """From a Hugging Face folder or name; raises EncoderError."""
        from transformers import AutoFeatureExtractor

        with reading_encoder("speech", path):
            preprocessor = AutoFeatureExtractor.from_pretrained(path)
            model = read_model("speech", path, may_lack=("masked_spec_embed",))
        return cls(model, preprocessor)

    def save(self, folder: Path) -> None:
        """Write a plain Hugging Face folder: model and preprocessor_config.json."""
        with quiet():
            self.model.save_pretrained(folder)
            self.preprocessor.save_pretrained(folder)

    @property
    def layers(self) -> int:
        return len(self.model.encoder.layers)

    @property
    def features(self) -> int:
        return int(self.model.config.hidden_size)

    @property
    def min_samples(self) -> int:
        """Samples that the first frame sees: shorter clips are padded with zeros to it."""
        samples = 1
        for kernel, stride in reversed(self._convolutions()):
            samples = (samples - 1) * stride + kernel
        return samples

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames (B,) of clips with `lengths` (B,) samples."""
        return _frames(lengths.clamp(min=self.min_samples), self._convolutions())

    def freeze_front(self) -> None:
        super().freeze_front()
        # transformers asks for gradients of the samples unless this is off.
        self.model.feature_extractor._requires_grad = False

    def train(self, mode: bool = True) -> SpeechEncoder:
        super().train(mode)
        for module in self.modules():
            # Statistics of a batch would run over its padding.
            if isinstance(module, nn.BatchNorm1d):
                module.eval()
        return self

    def _never_trained(self) -> Iterator[nn.Parameter]:
        yield from super()._never_trained()
        if getattr(self.model.config, "do_stable_layer_norm", False):
            # It sits behind the last block, whose own output is used.
            yield from self.model.encoder.layer_norm.parameters()
        # Embedding of masked frames: pretraining uses it, fine-tuning masks nothing.
        masked = getattr(self.model, "masked_spec_embed", None)
        if masked is not None:
            yield masked

    def _front(self) -> tuple[nn.Module, ...]:
        return (self.model.feature_extractor,)

    def _convolutions(self) -> list[tuple[int, int]]:
        config = self.model.config
        return list(zip(config.conv_kernel, config.conv_stride, strict=True))

    def _behind_front(self) -> nn.Module:
        blocks: nn.Module = self.model.encoder
        return blocks

    def front(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Frames (B, T, C) of the convolutional front."""
        waves = self._prepare(waves, lengths)
        first_frames = _frames(lengths.clamp(min=self.min_samples), self._convolutions()[:1])
        with _set(_FIRST_FRAMES, first_frames):
            front: Tensor = self.model.feature_extractor(waves)
        return front.transpose(1, 2)

    def _blocks(self, front: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs of the L blocks, each (B, T, F), and the mask (B, T)."""
        mask = mask_of(self.frames(lengths), front.shape[1])
        if self.model.config.model_type in PADDING_SAFE:
            return self._run(front, mask), mask
        alone = [
            self._run(row[None, valid], valid[None, valid])
            for row, valid in zip(front, mask, strict=True)
        ]
        outputs = [
            nn.utils.rnn.pad_sequence([output[0] for output in layer], batch_first=True)
            for layer in zip(*alone, strict=True)
        ]
        return outputs, mask

    def _prepare(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Zero what is beyond each clip, normalise within it, pad the batch to `min_samples`."""
        valid = mask_of(lengths, waves.shape[1])
        waves = torch.where(valid, waves, 0.0)
        if self.preprocessor.do_normalize:
            count = lengths.clamp(min=1)[:, None]
            centred = torch.where(valid, waves - waves.sum(1, keepdim=True) / count, 0.0)
            variance = centred.square().sum(1, keepdim=True) / count
            # 1e-7 as in transformers' Wav2Vec2FeatureExtractor.zero_mean_unit_var_norm.
            waves = centred / torch.sqrt(variance + 1e-7)
        missing = self.min_samples - waves.shape[1]
        return nn.functional.pad(waves, (0, missing)) if missing > 0 else waves

    def _run(self, front: Tensor, mask: Tensor) -> list[Tensor]:
        """What transformers' own forward does behind the front."""
        outputs: list[Tensor] = []
        projected = self.model.feature_projection(front)
        # In some families frames that are not projected come with them.
        hidden = projected[0] if isinstance(projected, tuple) else projected
        with _set(_BLOCK_OUTPUTS, outputs):
            self.model.encoder(hidden, attention_mask=mask)
        return outputs


class ValidFramesNorm(nn.GroupNorm):
    """One group per channel, normalised over a clip's own frames.

    In models with feat_extract_norm="group" the first convolution is normalised over time; over
    the padding too, if left alone, so that a clip's vectors would depend on its neighbours.
    """

    def __init__(self, norm: nn.GroupNorm) -> None:
        if norm.num_groups != norm.num_channels:
            raise EncoderError(
                f"speech encoder's first norm has {norm.num_groups} groups for "
                f"{norm.num_channels} channels: only one channel a group is known"
            )
        super().__init__(norm.num_groups, norm.num_channels, eps=norm.eps, affine=norm.affine)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """`hidden` (B, channels, frames) -> the same shape."""
        frames = _FIRST_FRAMES.get()
        if frames is None:
            return super().forward(hidden)
        valid = mask_of(frames, hidden.shape[-1])[:, None, :]
        count = frames[:, None, None]
        mean = torch.where(valid, hidden, 0.0).sum(-1, keepdim=True) / count
        centred = hidden - mean
        variance = torch.where(valid, centred, 0.0).square().sum(-1, keepdim=True) / count
        normal = centred * torch.rsqrt(variance + self.eps)
        return normal * self.weight[:, None] + self.bias[:, None]


def _frames(lengths: Tensor, convolutions: list[tuple[int, int]]) -> Tensor:
    for kernel, stride in convolutions:
        lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
    return lengths


def _keep_output(_block: nn.Module, _inputs: Any, output: Any) -> None:
    outputs = _BLOCK_OUTPUTS.get()
    if outputs is not None:
        outputs.append(output[0] if isinstance(output, tuple) else output)


@contextmanager
def _set(variable: ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
