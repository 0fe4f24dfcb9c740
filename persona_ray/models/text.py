"""The text tower: texts in, vectors out; and any BERT-like Hugging Face model as one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from persona_ray.errors import EncoderError
from persona_ray.models.pretrained import quiet, read_model, read_tokenizer, reading_encoder
from persona_ray.models.tower import Tower


class TextTower(Tower):
    """Texts in, a vector of each out; it does not depend on the texts it is batched with."""

    # Longer texts are cut to this length.
    max_tokens: int
    # How the contract of a bundle calls what the vector is.
    pooling: Literal["cls", "grams"]

    @property
    @abstractmethod
    def features(self) -> int:
        """Width of a vector."""

    @abstractmethod
    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """What `forward` takes, padded to the longest text; `input_ids` (batch, tokens) is one."""

    @abstractmethod
    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """Vectors (batch, features)."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `models.load.load_text_tower` reads."""


class TextEncoder(TextTower):
    """Texts in, the last hidden state of their [CLS] token out."""

    pooling = "cls"

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        """`max_tokens`: longer texts are cut, [CLS] and [SEP] counted."""
        super().__init__()
        if tokenizer.cls_token_id is None or tokenizer.pad_token_id is None:
            raise EncoderError(
                f"text encoder of type '{model.config.model_type}' has a tokenizer without [CLS] "
                "or padding: use a BERT-like checkpoint"
            )
        longest = min(tokenizer.model_max_length, model.config.max_position_embeddings)
        if max_tokens > longest:
            raise EncoderError(
                f"model.text.max_tokens {max_tokens} > {longest}, the longest text the encoder "
                f"takes: lower it to {longest}"
            )
        tokenizer.padding_side = "right"
        tokenizer.truncation_side = "right"
        self.model = model
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        self.set_frozen(False)

    @classmethod
    def load(cls, path: str, max_tokens: int) -> TextEncoder:
        """From a Hugging Face folder or name; raises EncoderError."""
        with reading_encoder("text", path):
            tokenizer = read_tokenizer("text", path)
            model = read_model("text", path, may_lack=("pooler.",))
        return cls(model, tokenizer, max_tokens)

    def save(self, folder: Path) -> None:
        """Write a plain Hugging Face folder: model and tokenizer."""
        with quiet():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)

    @property
    def features(self) -> int:
        return int(self.model.config.hidden_size)

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """Token tensors (batch, tokens), padded to the longest text."""
        return dict(
            self.tokenizer(
                list(texts),
                padding=True,
                truncation=True,
                max_length=self.max_tokens,
                return_tensors="pt",
            )
        )

    def forward(self, tokens: dict[str, Tensor]) -> Tensor:
        """[CLS] vectors (batch, features)."""
        hidden: Tensor = self.model(**tokens).last_hidden_state
        return hidden[:, 0]

    def _preprocessing(self) -> dict[str, Any]:
        tokenizer = self.tokenizer
        rules = getattr(tokenizer, "backend_tokenizer", None)
        return {
            "tokenizer": tokenizer.get_vocab() if rules is None else rules.to_str(),
            "max_tokens": self.max_tokens,
        }

    def _never_trained(self) -> Iterator[nn.Parameter]:
        # The pooler sits behind the vectors that are used here.
        pooler = getattr(self.model, "pooler", None)
        if isinstance(pooler, nn.Module):
            yield from pooler.parameters()
