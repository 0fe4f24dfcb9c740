"""HuBERT's objective: tell the units of masked frames.

Hsu et al. 2021, arXiv 2106.07447: the output o_t of the last block, projected by A, is compared
with an embedding e_c for each unit c; p(c | t) is softmax over c of cos(A o_t, e_c) / temperature.

Shapes: batch B, samples S, frames T, width F, units K, channels of the front C.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from persona_ray.errors import ModelError
from persona_ray.models.speech import PADDING_SAFE, SpeechEncoder

# Weights of masked frames are there, yet who loads the folder masks nothing unless he says so.
_MASK_TIME_PROB = 0.05
_GRADIENT_CHECKPOINTING = "gradient_checkpointing"


@dataclass(slots=True)
class _Tap:
    """What one pass puts into the encoder, and takes from its inside."""

    masked: Tensor
    embedding: Tensor
    front: Tensor | None = None
    last: Tensor | None = None


_TAP: ContextVar[_Tap | None] = ContextVar("_TAP", default=None)


class MaskedUnits(nn.Module):
    """A speech encoder with what its pretraining needs: a vector for masked frames, a projection
    and an embedding for each unit.

    The vector is the encoder's `masked_spec_embed`, added where a checkpoint has none, so that
    Hugging Face folders carry it. With `unmasked` and `penalty` these terms are computed too.
    """

    def __init__(
        self,
        encoder: SpeechEncoder,
        units: int,
        projection: int,
        temperature: float,
        unmasked: bool,
        penalty: bool,
    ) -> None:
        """Draws from torch's global random state. Raises ModelError for families whose frames
        depend on padding."""
        super().__init__()
        model = encoder.model
        if model.config.model_type not in PADDING_SAFE:
            raise ModelError(
                f"masked units cannot train a speech encoder of type '{model.config.model_type}': "
                f"name one of {', '.join(sorted(PADDING_SAFE))} in model.speech.path"
            )
        self.encoder = encoder
        self.projection = nn.Linear(encoder.features, projection)
        self.units = nn.Parameter(torch.randn(units, projection))
        self.temperature = temperature
        self.unmasked = unmasked
        self.penalty = penalty
        if getattr(model, "masked_spec_embed", None) is None:
            model.masked_spec_embed = nn.Parameter(torch.rand(encoder.features))
            model.config.mask_time_prob = _MASK_TIME_PROB
        # Fine-tuning never trains these; this is where they are trained.
        model.masked_spec_embed.requires_grad_(True)
        model.encoder.layer_norm.requires_grad_(True)
        # transformers would ask for gradients of the samples, for reentrant checkpointing.
        model.feature_extractor._requires_grad = False
        model.feature_extractor.register_forward_pre_hook(_to_weights_type)
        model.feature_extractor.register_forward_hook(_keep_front)
        model.feature_projection.register_forward_hook(_mask_frames)
        model.encoder.register_forward_hook(_keep_last)
        # Not registered as children a second time.
        self._checkpointable: tuple[Any, ...] = tuple(
            module for module in model.modules() if hasattr(module, _GRADIENT_CHECKPOINTING)
        )

    def forward(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """Sums of the terms.

        `inputs`: `waves` (B, S), `lengths` (B,) in samples, `units` (B, T) and `masked` (B, T);
        what they hold beyond a clip's own frames does not count. Raises ModelError where units
        and frames are not of one number.
        """
        frames, valid, front = self.frames(inputs["waves"], inputs["lengths"], inputs["masked"])
        units, masked = inputs["units"], inputs["masked"]
        terms = self._cross_entropy("masked", frames, units, valid & masked)
        if self.unmasked:
            terms |= self._cross_entropy("unmasked", frames, units, valid & ~masked)
        if self.penalty:
            square = front.float().square().mean(dim=1)
            terms["penalty.loss"] = torch.where(valid, square, 0.0).sum()
        return terms

    def frames(
        self, waves: Tensor, lengths: Tensor, masked: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The encoder's last output (B, T, F) with `masked` (B, T) frames replaced, the mask
        (B, T) of frames that belong to the clip, and the front's output (B, C, T)."""
        for module in self._checkpointable:
            if module.gradient_checkpointing:
                module._gradient_checkpointing_func = _checkpoint
        tap = _Tap(masked, self.encoder.model.masked_spec_embed)
        token = _TAP.set(tap)
        try:
            _, valid = self.encoder(waves, lengths)
        finally:
            _TAP.reset(token)
        if tap.front is None or tap.last is None:
            raise ModelError("the speech encoder did not call its front and its blocks")
        return tap.last, valid, tap.front

    def logits(self, frames: Tensor) -> Tensor:
        """Frames (n, F) -> logits (n, K), in float32 whatever the encoder computes in."""
        projected = self.projection(frames)
        with torch.autocast(projected.device.type, enabled=False):
            cosines = nn.functional.normalize(projected.float(), dim=-1)
            return (
                cosines @ nn.functional.normalize(self.units.float(), dim=-1).T / self.temperature
            )

    def _cross_entropy(
        self, term: str, frames: Tensor, units: Tensor, chosen: Tensor
    ) -> dict[str, Tensor]:
        logits, targets = self.logits(frames[chosen]), units[chosen]
        return {
            f"{term}.loss": nn.functional.cross_entropy(logits, targets, reduction="sum"),
            f"{term}.correct": (logits.argmax(dim=-1) == targets).sum(),
        }


def _checkpoint(function: Callable[..., Any], *inputs: Any) -> Any:
    """Checkpointing that tells the second run what context variables told the first one: the
    norm of the front must know the frames of each clip again."""
    from torch.utils.checkpoint import checkpoint

    context = copy_context()
    return checkpoint(lambda *args: context.run(function, *args), *inputs, use_reentrant=False)


def _to_weights_type(front: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Samples stay float32 until they are normalised; engines may hold weights in bf16."""
    waves, *rest = inputs
    return (waves.to(next(front.parameters()).dtype), *rest)


def _keep_front(_front: nn.Module, _inputs: Any, output: Tensor) -> None:
    tap = _TAP.get()
    if tap is not None:
        tap.front = output


def _mask_frames(_projection: nn.Module, _inputs: Any, output: Any) -> Any:
    """`output`: frames (B, T, F); in some families a tuple that begins with them."""
    tap = _TAP.get()
    if tap is None:
        return None
    frames, *rest = output if isinstance(output, tuple) else (output,)
    if tap.masked.shape != frames.shape[:2]:
        raise ModelError(
            f"the encoder makes {frames.shape[1]} frames where {tap.masked.shape[1]} have units: "
            "compute the units anew"
        )
    frames = torch.where(tap.masked[..., None], tap.embedding.to(frames.dtype), frames)
    return (frames, *rest) if rest else frames


def _keep_last(_encoder: nn.Module, _inputs: Any, output: Any) -> None:
    tap = _TAP.get()
    if tap is not None:
        tap.last = output.last_hidden_state
