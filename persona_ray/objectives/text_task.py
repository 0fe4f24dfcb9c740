"""Masked words of calls and texts, as the pretraining loop asks for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from persona_ray.config.pretraining import PretrainTextConfig
from persona_ray.errors import EncoderError, TrainingError
from persona_ray.models.pretrained import quiet
from persona_ray.objectives.base import MicroBatch
from persona_ray.objectives.masked_words import NO_PAIR, MaskedWords, choose_words, hide
from persona_ray.objectives.text_items import NONE, Segments
from persona_ray.objectives.text_start import TextStart


@dataclass(frozen=True)
class SpecialTokens:
    """Numbers of the tokenizer's special tokens. `never` are neither predicted nor put in."""

    cls: int
    sep: int
    pad: int
    mask: int
    unknown: int
    never: frozenset[int]
    vocabulary: int
    segment_types: bool

    @classmethod
    def of(cls, tokenizer: Any, model: Any) -> SpecialTokens:
        """Raises EncoderError for a tokenizer that does not mask or pad, builds its texts in
        another way than [CLS] text [SEP], or has more tokens than the model."""
        found = {
            name: getattr(tokenizer, f"{name}_token_id")
            for name in ("cls", "sep", "pad", "mask", "unk")
        }
        kind = type(tokenizer).__name__
        if lacking := [name for name, number in found.items() if number is None]:
            raise EncoderError(
                f"the text encoder's tokenizer ({kind}) has no {', '.join(lacking)} token: masked "
                "words need a BERT-like checkpoint"
            )
        text = "。"
        inner = tokenizer.encode(text, add_special_tokens=False)
        if tokenizer.encode(text) != [found["cls"], *inner, found["sep"]]:
            raise EncoderError(
                f"the text encoder's tokenizer ({kind}) does not build texts as [CLS] text [SEP]: "
                "masked words need a BERT-like checkpoint"
            )
        words = model.get_input_embeddings().num_embeddings
        if len(tokenizer) > words:
            raise EncoderError(
                f"the text encoder's tokenizer ({kind}) has {len(tokenizer)} tokens, its model "
                f"{words}: they belong to different checkpoints"
            )
        return cls(
            cls=found["cls"],
            sep=found["sep"],
            pad=found["pad"],
            mask=found["mask"],
            unknown=found["unk"],
            never=frozenset(tokenizer.all_special_ids),
            vocabulary=len(tokenizer),
            segment_types="token_type_ids" in signature(model.base_model.forward).parameters,
        )


@dataclass(frozen=True)
class TextTask:
    """Masked whole words, with or without next-sentence pairs; a PretrainingTask.

    Item n is segment n, or pair n of segments. `start_digest` is what the weights of `start` are.
    `only`: weights that are trained (a new head); None for all.
    """

    settings: PretrainTextConfig
    segments: Segments
    special: SpecialTokens
    start: TextStart
    start_digest: str
    only: frozenset[str] | None = None

    unit: Literal["tokens"] = "tokens"

    @property
    def weights(self) -> Mapping[str, float]:
        pairs = {"pairs": 1.0} if self.settings.next_sentence else {}
        return {"masked": 1.0, **pairs}

    @property
    def fingerprint(self) -> str:
        parts = [
            self.settings.mask_share,
            self.settings.next_sentence,
            self.settings.seed,
            self.segments.fingerprint,
            self.start_digest,
            None if self.only is None else sorted(self.only),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def sizes(self) -> Sequence[float]:
        lengths = self.segments.lengths
        if not self.settings.next_sentence:
            return [float(size) for size in lengths + 2]
        first, second = self._pairs[:, 0], self._pairs[:, 1]
        both = lengths[first] + 2 + np.where(second == NONE, 0, lengths[second] + 1)
        return [float(size) for size in both]

    def build(self) -> MaskedWords:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            model, _missing = self.start.model(self.settings.next_sentence)
        return MaskedWords(model, self.settings.next_sentence, self.only)

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        rows = [self._item(position, epoch) for position in positions]
        longest = max(len(row.tokens) for row in rows)
        shape = (len(rows), longest)
        tokens = np.full(shape, self.special.pad, dtype=np.int64)
        valid = np.zeros(shape, dtype=np.int64)
        types = np.zeros(shape, dtype=np.int64)
        chosen = np.zeros(shape, dtype=np.bool_)
        truth = np.zeros(shape, dtype=np.int64)
        for at, row in enumerate(rows):
            size = len(row.tokens)
            tokens[at, :size], truth[at, :size] = row.hidden, row.tokens
            valid[at, :size], chosen[at, :size] = 1, row.chosen
            types[at, row.second :] = valid[at, row.second :]
        where = np.flatnonzero(chosen)
        arrays = {
            "input_ids": tokens,
            "attention_mask": valid,
            "positions": where,
            "targets": truth.reshape(-1)[where],
        }
        if self.special.segment_types:
            arrays["token_type_ids"] = types
        counts = {"masked": len(where)}
        if self.settings.next_sentence:
            arrays["pairs"] = np.array([row.pair for row in rows], dtype=np.int64)
            counts["pairs"] = sum(row.pair != NO_PAIR for row in rows)
        inputs = {name: torch.from_numpy(values) for name, values in arrays.items()}
        return MicroBatch(inputs, counts, float(valid.sum()), float(valid.size))

    def save(self, module: nn.Module, folder: Path) -> None:
        """Write the model with its heads and the tokenizer: loads by AutoModelForMaskedLM,
        AutoModel (which leaves the heads) and TextEncoder."""
        if not isinstance(module, MaskedWords):
            raise TrainingError(f"{type(module).__name__} is not the module that build() returned")
        with quiet():
            module.model.save_pretrained(folder)
            self.start.tokenizer().save_pretrained(folder)

    @cached_property
    def _pairs(self) -> NDArray[np.int32]:
        return self.segments.pairs()

    @cached_property
    def _replacements(self) -> NDArray[np.int32]:
        numbers = set(range(self.special.vocabulary)) - self.special.never
        return np.array(sorted(numbers), dtype=np.int32)

    def __getstate__(self) -> dict[str, Any]:
        # Without what is made on demand.
        return {k: v for k, v in self.__dict__.items() if k not in ("_pairs", "_replacements")}

    def _item(self, position: int, epoch: int) -> _Row:
        rng = np.random.default_rng((self.settings.seed, epoch, position))
        parts, pair = [position], NO_PAIR
        if self.settings.next_sentence:
            first, second = (int(number) for number in self._pairs[position])
            parts = [first]
            if second != NONE:
                pair = int(rng.random() < 0.5)
                parts.append(self.segments.foreign(second, rng) if pair else second)
        special = self.special
        pieces = [np.array([special.cls], np.int32)]
        starts = [np.ones(1, np.bool_)]
        for part in parts:
            tokens, words = self.segments.of(part)
            pieces += [tokens, np.array([special.sep], np.int32)]
            starts += [words, np.ones(1, np.bool_)]
        tokens, begins = np.concatenate(pieces), np.concatenate(starts)
        return self._masked(tokens, begins, len(pieces[1]) + 2, pair, rng)

    def _masked(
        self,
        tokens: NDArray[np.int32],
        starts: NDArray[np.bool_],
        second: int,
        pair: int,
        rng: np.random.Generator,
    ) -> _Row:
        special = self.special
        framing = (tokens == special.cls) | (tokens == special.sep)
        # An unknown character is nothing that could be guessed.
        barred = framing | (tokens == special.unknown)
        share = self.settings.mask_share * (1 - framing.mean())
        chosen = choose_words(starts, barred, share, rng)
        hidden = hide(tokens, chosen, special.mask, self._replacements, rng)
        return _Row(tokens, hidden, chosen, second, pair)


@dataclass(frozen=True, slots=True)
class _Row:
    """One item with its special tokens, all (tokens,); the second segment begins at `second`."""

    tokens: NDArray[np.int32]
    hidden: NDArray[np.int32]
    chosen: NDArray[np.bool_]
    second: int
    pair: int
