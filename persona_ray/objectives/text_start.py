"""What masked-word pretraining starts from: a checkpoint with or without its head, or the small
BERT."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from persona_ray.config.learning import SmallTextConfig
from persona_ray.errors import EncoderError
from persona_ray.models.pretrained import read_tokenizer, reading_encoder
from persona_ray.models.small import character_tokenizer, small_text_config


class TextStart(Protocol):
    """Where weights and tokenizer come from; picklable."""

    def tokenizer(self) -> Any: ...

    def model(self, next_sentence: bool) -> tuple[Any, frozenset[str]]:
        """The model with its masked-word head (and next-sentence head) in float32, and the names
        of the weights that the start lacks. Draws these from torch's global random state."""
        ...


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face folder or name of a BERT-like model."""

    path: str

    def tokenizer(self) -> Any:
        """Raises EncoderError."""
        with reading_encoder("text", self.path):
            return read_tokenizer("text", self.path)

    def model(self, next_sentence: bool) -> tuple[Any, frozenset[str]]:
        """Raises EncoderError for a checkpoint that is incomplete but for its heads, and for one
        of a family that has no next-sentence head where that is asked for."""
        from transformers import AutoModelForMaskedLM, AutoModelForPreTraining

        kind = AutoModelForPreTraining if next_sentence else AutoModelForMaskedLM
        with reading_encoder("text", self.path):
            model, info = kind.from_pretrained(
                self.path, dtype=torch.float32, output_loading_info=True
            )
        if next_sentence and not hasattr(getattr(model, "cls", None), "seq_relationship"):
            raise EncoderError(
                f"pretraining.text.next_sentence: models of type '{model.config.model_type}' "
                f"(model.text.path '{self.path}') have no next-sentence head: set it to false"
            )
        missing = frozenset(
            name for name in info["missing_keys"] if next_sentence or ".pooler." not in name
        )
        encoder = model.base_model_prefix + "."
        lost = sorted(
            name for name in missing if name.startswith(encoder) and ".pooler." not in name
        )
        if lost:
            raise EncoderError(
                f"model.text.path '{self.path}' lacks {len(lost)} weights of a "
                f"{type(model).__name__} ('{lost[0]}', ...): it is incomplete or another model"
            )
        return model, missing


@dataclass(frozen=True)
class SmallStart:
    """The small BERT that the model section describes, reading `vocabulary`."""

    config: SmallTextConfig
    vocabulary: Mapping[str, int]
    max_tokens: int

    def tokenizer(self) -> Any:
        return character_tokenizer(self.vocabulary, self.max_tokens)

    def model(self, next_sentence: bool) -> tuple[Any, frozenset[str]]:
        """All of it is new, and is trained together: nothing counts as missing. Raises
        ModelError for sizes that do not fit."""
        from transformers import BertForMaskedLM, BertForPreTraining

        kind = BertForPreTraining if next_sentence else BertForMaskedLM
        config = small_text_config(self.config, self.vocabulary, self.max_tokens)
        return kind(config), frozenset()


def weights_digest(model: Any, without: frozenset[str]) -> str:
    """Of names and values of all weights but those drawn at random."""
    digest = hashlib.sha256(json.dumps(model.config.to_diff_dict(), sort_keys=True).encode())
    for name, tensor in sorted(model.named_parameters()):
        if name not in without:
            digest.update(name.encode())
            digest.update(tensor.detach().numpy().data)
    return digest.hexdigest()


def head_message(path: str, missing: frozenset[str], head_epochs: int) -> str:
    """What a user is told where heads are missing."""
    masked = any(".seq_relationship." not in name and ".pooler." not in name for name in missing)
    what = "masked-word head" if masked else "next-sentence head"
    then = (
        f"a new one is trained for {head_epochs} epoch{'s' * (head_epochs != 1)} with the encoder "
        "frozen, then both together"
        if head_epochs
        else "a new one is trained together with the encoder (pretraining.text.head_epochs 0)"
    )
    return f"model.text.path '{path}' has no {what}: {then}"
