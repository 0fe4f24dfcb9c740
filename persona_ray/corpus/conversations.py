"""Conversations of agents with customers, to learn emotion and answers from: a JSON line each.

    {"id": "a-17", "customer": "u-3", "colour": "red", "product": "credit_card",
     "campaign": "", "outcome": "agreed",
     "turns": [{"speaker": "customer", "text": "...", "step": "offer", "relation": "objection",
                "emotion": "annoyed", "tone": {"pitch_st": 1.5, "level_db": 4.0, ...},
                "keywords": [{"start": 0, "end": 2, "emotion": "annoyed"}], "fits": ["S-104"]},
               {"speaker": "agent", "text": "...", "script": "S-104", "score": 80}]}

Of a turn, only speaker and text must be there: what was not labelled is left out, and what is
learned from it is left out, too. `tone` as `conversation.Tone`; `fits` are the scripts that answer
a customer's turn (planted truth, for judging); `score`, 0 to 100, is what came of the agent's
script. A file whose name ends in .gz is compressed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic import ValidationError as PydanticError

from persona_ray.conversation import Emotion, Outcome, Relation, Speaker, Tone
from persona_ray.corpus.json_lines import read_records, write_lines
from persona_ray.errors import CorpusError
from persona_ray.types import Split

Name = Annotated[str, StringConstraints(max_length=200)]


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Marked(_Row):
    """Characters `start` to `end` of a turn that show an emotion, and how they sound."""

    start: int = Field(ge=0)
    end: int = Field(gt=0)
    emotion: Emotion
    tone: Tone | None = None


class ConversationTurn(_Row):
    """What one side said. None and empty: not labelled."""

    speaker: Speaker
    text: str = Field(min_length=1, max_length=2000)
    step: Name = ""
    relation: Relation | None = None
    emotion: Emotion | None = None
    tone: Tone | None = None
    keywords: tuple[Marked, ...] = ()
    fits: tuple[Name, ...] = ()
    script: Name = ""
    score: float | None = Field(None, ge=0, le=100)

    @model_validator(mode="after")
    def _keywords_are_inside(self) -> ConversationTurn:
        for mark in self.keywords:
            if not mark.start < mark.end <= len(self.text):
                raise ValueError(
                    f"keyword {mark.start}-{mark.end} lies outside of {len(self.text)} characters"
                )
        return self


class Conversation(_Row):
    """One call. `customer` empty: its own id stands for the customer."""

    id: str = Field(min_length=1, max_length=200)
    customer: Name = ""
    colour: Name = ""
    product: Name = ""
    campaign: Name = ""
    outcome: Outcome | None = None
    turns: tuple[ConversationTurn, ...] = Field(min_length=1, max_length=1000)

    @property
    def person(self) -> str:
        """Who is in one split only."""
        return self.customer or self.id


def read_conversations(files: Iterable[Path]) -> list[Conversation]:
    """Of all files, in order. Raises CorpusError that names file and line: for a line that is no
    conversation, an id that stands twice, and files without any."""
    return read_records(files, _conversation, "conversation")


def write_conversations(path: Path, conversations: Iterable[Conversation]) -> int:
    """Whole or not at all; the same conversations give the same bytes. How many they were."""
    lines = [_as_json(one) for one in conversations]
    write_lines(path, lines)
    return len(lines)


def by_split(
    conversations: Iterable[Conversation], test: float, dev: float, salt: str
) -> dict[Split, list[Conversation]]:
    """By customer: `test` and `dev` are shares. By a hash of who it is, so that none moves when
    others are added."""
    found: dict[Split, list[Conversation]] = {split: [] for split in Split}
    for one in conversations:
        found[split_of(one.person, test, dev, salt)].append(one)
    return found


def split_of(person: str, test: float, dev: float, salt: str) -> Split:
    """Where a customer falls, for good."""
    digest = hashlib.sha256(f"{salt}\0{person}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    dealt = Split.DEV if place < test + dev else Split.TRAIN
    return Split.TEST if place < test else dealt


def fingerprint(conversations: Iterable[Conversation]) -> str:
    """SHA-256 of all that they say and are labelled with, whatever the order."""
    lines = sorted(map(_as_json, conversations))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _as_json(one: Conversation) -> str:
    row = one.model_dump(mode="json", exclude_defaults=True)
    for turn, said in zip(row["turns"], one.turns, strict=True):
        if said.tone is not None:
            turn["tone"] = {name: _short(value) for name, value in asdict(said.tone).items()}
    return json.dumps(row, ensure_ascii=False)


def _short(value: float) -> float:
    return value if isinstance(value, bool) else round(value, 3)


def _conversation(line: str, place: str) -> Conversation:
    try:
        return Conversation.model_validate(json.loads(line))
    except PydanticError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CorpusError(f"{place}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{place} is no JSON object: {error}") from None
