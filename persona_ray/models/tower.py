"""What towers share: freezing; and what every speech tower is: waves in, block outputs out.

Shapes: batch B, samples S, channels C of the front, layers L (Transformer blocks), frames T,
features F.
"""

from __future__ import annotations

import copy
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

# Of a configuration, what says where it came from and not what it computes.
_ORIGIN = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version")
# Of a configuration, what says how the front computes.
_OF_FRONT = ("model_type", "conv_", "feat_extract_")


class Tower(nn.Module, ABC):
    """An encoder that can be frozen; a frozen one stays in eval mode whatever `train()` asks.

    Dropout in a frozen encoder would make its vectors differ from pass to pass, so that they
    could not be cached. `model` is a Hugging Face module.
    """

    model: Any

    def __init__(self) -> None:
        super().__init__()
        self._frozen = False

    @property
    def frozen(self) -> bool:
        return self._frozen

    def set_frozen(self, frozen: bool) -> None:
        """Freeze (no gradients, eval mode) or unfreeze (mode follows `train()` from then on)."""
        self._frozen = frozen
        self.requires_grad_(False)
        if frozen:
            self.eval()
            return
        for parameter in self.trainable():
            parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> Tower:
        super().train(mode and not self._frozen)
        return self

    def fingerprint(self) -> str:
        """SHA-256 of all that a clip's vectors depend on: kind, configuration, weights."""
        config = self.model.config.to_dict()
        described = {
            "tower": type(self).__name__,
            "config": {name: value for name, value in config.items() if name not in _ORIGIN},
            **self._preprocessing(),
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
        hash_weights(digest, self.model)
        return digest.hexdigest()

    @abstractmethod
    def _preprocessing(self) -> dict[str, Any]:
        """What happens to a clip before the model."""

    def trainable(self) -> list[nn.Parameter]:
        """The parameters that are trained once the tower is unfrozen."""
        never = {id(parameter) for parameter in self._never_trained()}
        return [parameter for parameter in self.parameters() if id(parameter) not in never]

    def _never_trained(self) -> Iterator[nn.Parameter]:
        """Parameters that the output does not depend on, or that are held on purpose."""
        yield from ()


class SpeechTower(Tower):
    """Waves in, the outputs of the L Transformer blocks out, pooled over a clip's own frames.

    A block output is what the block itself returns, before any norm that follows the last block;
    the input of the first block is not among them. A clip's vectors do not depend on the clips it
    is batched with. `preprocessor` is the Hugging Face feature extractor that says how it is fed.
    """

    preprocessor: Any
    # Whether masked-unit pretraining (HuBERT's) can train it further.
    masked_units: bool
    # How the contract of a bundle calls what the first layer sees.
    hears: Literal["wave", "log_mel"]

    def __init__(self) -> None:
        super().__init__()
        self._front_frozen = False

    @property
    @abstractmethod
    def layers(self) -> int:
        """Transformer blocks."""

    @property
    @abstractmethod
    def features(self) -> int:
        """Width of a block's output."""

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """Samples that the first frame sees: shorter clips are padded with zeros to it."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate of the waves."""
        return int(self.preprocessor.sampling_rate)

    @property
    def normalize(self) -> bool:
        """Whether each clip is brought to zero mean and unit variance first."""
        return bool(self.preprocessor.do_normalize)

    def _preprocessing(self) -> dict[str, Any]:
        return {"preprocessor": self.preprocessor.to_dict()}

    @property
    def longest_s(self) -> float | None:
        """The longest clip that it takes, in seconds; None: any."""
        return None

    @property
    def published(self) -> str | None:
        """SHA-256 of the published weights that it has, unchanged, where a bundle need not store
        them because they come with a package; None where they must be stored."""
        return None

    @abstractmethod
    def frames(self, lengths: Tensor) -> Tensor:
        """Frames (B,) of clips with `lengths` (B,) samples."""

    def freeze_front(self) -> None:
        """Never train the convolutional front, not even after `set_frozen(False)`."""
        self._front_frozen = True
        for module in self._front():
            module.requires_grad_(False)

    def _never_trained(self) -> Iterator[nn.Parameter]:
        if self._front_frozen:
            for module in self._front():
                yield from module.parameters()

    @abstractmethod
    def _front(self) -> tuple[nn.Module, ...]:
        """The convolutions before the first block."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write a plain Hugging Face folder: model and preprocessor_config.json."""

    @abstractmethod
    def front(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Frames (B, T, C) of the convolutional front; clip i has the first `frames(lengths)[i]`,
        which do not depend on the others."""

    @abstractmethod
    def _blocks(self, front: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Outputs of the L blocks, each (B, T, F), and the mask (B, T)."""

    @abstractmethod
    def _behind_front(self) -> nn.Module:
        """The blocks."""

    def front_alone(self) -> SpeechTower:
        """A copy without blocks on the CPU, for `front` and nothing else."""
        alone = copy.deepcopy(self, {id(self._behind_front()): nn.ModuleList()})
        return alone.cpu().requires_grad_(False).eval()

    def front_fingerprint(self) -> str:
        """SHA-256 of all that a clip's front frames depend on."""
        config = self.model.config.to_dict()
        described = {
            "tower": type(self).__name__,
            "config": {name: config[name] for name in config if name.startswith(_OF_FRONT)},
            **self._preprocessing(),
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
        for module in self._front():
            hash_weights(digest, module)
        return digest.hexdigest()

    def forward(self, waves: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """`waves` (B, S) and `lengths` (B,) in samples -> block outputs (B, L, T, F) and the mask
        (B, T) of frames that belong to the clip."""
        outputs, mask = self._blocks(self.front(waves, lengths), lengths)
        return torch.stack(outputs, dim=1), mask

    def pooled(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Mean over a clip's own frames of each block's output: (B, L, F)."""
        return self.pooled_from(self.front(waves, lengths), lengths)

    def pooled_from(self, front: Tensor, lengths: Tensor) -> Tensor:
        """`pooled`, by what `front` (B, T, C) said; beyond a clip's frames it may hold anything
        finite."""
        outputs, mask = self._blocks(front, lengths)
        share = mask / mask.sum(dim=1, keepdim=True)
        return torch.stack([torch.einsum("bt,btf->bf", share, out) for out in outputs], dim=1)


def mask_of(lengths: Tensor, size: int) -> Tensor:
    """(B, size): which places of a padded batch belong to clips of `lengths` (B,)."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def hash_weights(digest: Any, module: nn.Module) -> None:
    """Feed name, shape and bytes of each weight of `module` to `digest`, a hashlib object."""
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy())
