"""The runs of text pretraining: one, or first one of its own for a head that is lacking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from persona_ray.config import RunConfig
from persona_ray.config.pretraining import PretrainTextConfig
from persona_ray.errors import CorpusError, EncoderError
from persona_ray.models.small import character_vocabulary
from persona_ray.models.text import TextEncoder
from persona_ray.objectives.text_items import segments_of
from persona_ray.objectives.text_start import (
    Checkpoint,
    SmallStart,
    TextStart,
    head_message,
    weights_digest,
)
from persona_ray.objectives.text_task import SpecialTokens, TextTask
from persona_ray.objectives.words import WordBorders, WordTokenizer

# For pairs: [CLS], two [SEP] and a character or two in each segment.
_SHORTEST_PAIR = 8


@dataclass(frozen=True, slots=True)
class NamedTask:
    """A run of its own: `task` by `settings`, saved to `folder`. `message`: what a user must be
    told about it, if anything."""

    name: str
    task: TextTask
    settings: PretrainTextConfig
    folder: Path
    message: str = ""


def text_tasks(config: RunConfig, dialogues: Iterable[Sequence[str]]) -> list[NamedTask]:
    """The runs of text pretraining in order; the last one leaves `config.encoder_dir("text")`.

    There is one, and before it one that trains a new head where the checkpoint has none; the
    second then starts from the folder of the first. `dialogues` is read twice where the small
    encoder needs a vocabulary, so it must not be an iterator. Raises EncoderError, ModelError,
    ConfigError for the user dictionary, CorpusError without a text or for files that cannot be
    used.
    """
    settings, max_tokens = config.pretraining.text, config.model.text.max_tokens
    if settings.next_sentence and max_tokens < _SHORTEST_PAIR:
        raise EncoderError(
            f"model.text.max_tokens {max_tokens} has no room for two sentences: raise it to "
            f"{_SHORTEST_PAIR} or set pretraining.text.next_sentence to false"
        )
    borders = WordBorders(settings.user_dictionary)
    start = _start(config, dialogues)
    with torch.random.fork_rng(devices=[]):
        model, missing = start.model(settings.next_sentence)
    tokenizer = start.tokenizer()
    # It looks whether they fit each other and the configured length.
    TextEncoder(model.base_model, tokenizer, max_tokens)
    special = SpecialTokens.of(tokenizer, model)
    longest = (max_tokens - 3) // 2 if settings.next_sentence else max_tokens - 2
    segments = segments_of(dialogues, WordTokenizer(tokenizer, borders), longest)
    if len(segments) == 0:
        raise CorpusError(
            "there is no text to learn from: build a corpus, or name files in "
            "pretraining.text.files"
        )
    if settings.next_sentence and segments.dialogues[-1] == segments.dialogues[0]:
        raise CorpusError(
            "pretraining.text.next_sentence needs at least two dialogues, and there is one: set "
            "it to false"
        )
    without = missing if isinstance(start, Checkpoint) else _all_names(model)
    task = TextTask(settings, segments, special, start, weights_digest(model, without))
    return _runs(config, task, missing)


def _runs(config: RunConfig, task: TextTask, missing: frozenset[str]) -> list[NamedTask]:
    """`missing`: weights that the checkpoint of `task` lacks."""
    settings, folder = task.settings, config.encoder_dir("text")
    if not missing:
        return [NamedTask("text", task, settings, folder)]
    message = head_message(config.model.text.path, missing, settings.head_epochs)
    if settings.head_epochs == 0:
        return [NamedTask("text", task, settings, folder, message)]
    head = folder.with_name(f"{folder.name}-head")
    head_task = replace(task, only=missing)
    main_task = replace(
        task,
        start=Checkpoint(str(head)),
        start_digest=f"{head_task.fingerprint} {settings.head_epochs}",
    )
    head_settings = settings.model_copy(update={"epochs": settings.head_epochs})
    return [
        NamedTask("text head", head_task, head_settings, head, message),
        NamedTask("text", main_task, settings, folder),
    ]


def _start(config: RunConfig, dialogues: Iterable[Sequence[str]]) -> TextStart:
    if config.model.text.path:
        return Checkpoint(config.model.text.path)
    vocabulary = character_vocabulary(turn for turns in dialogues for turn in turns)
    return SmallStart(config.model.text.small, vocabulary, config.model.text.max_tokens)


def _all_names(model: Any) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_parameters())
