"""Labelled dialogues for the category model: a JSON line each.

    {"id": "c-17", "category": "delivery",
     "turns": [{"speaker": "caller", "text": "..."}, {"speaker": "callee", "text": "..."}]}

The caller is the one who is judged, and says at least one turn; the callee is whoever was called,
a person or the dialogue robot (`robot` is read as callee). Further keys are the writer's own and
not read. A file whose name ends in .gz is compressed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from persona_ray.asr.text import normalise
from persona_ray.corpus.json_lines import read_records, write_lines
from persona_ray.errors import CorpusError
from persona_ray.types import Example, Split

# A dialogue of this many turns is no call.
MOST_TURNS = 1000


class Side(StrEnum):
    """Who speaks."""

    CALLER = "caller"
    CALLEE = "callee"


@dataclass(frozen=True, slots=True)
class Said:
    """One turn."""

    speaker: Side
    text: str


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A call with its category."""

    id: str
    category: str
    turns: tuple[Said, ...]

    @property
    def caller(self) -> tuple[str, ...]:
        """The caller's turns, in order."""
        return tuple(turn.text for turn in self.turns if turn.speaker is Side.CALLER)


def read_dialogues(files: Iterable[Path]) -> list[Dialogue]:
    """Of all files, in order. Raises CorpusError that names file and line: for a line that is no
    dialogue, an id that stands twice, and files without any."""
    return read_records(files, _dialogue, "dialogue")


def write_dialogues(path: Path, dialogues: Iterable[Dialogue]) -> None:
    """Whole or not at all."""
    rows = [
        {
            "id": dialogue.id,
            "category": dialogue.category,
            "turns": [{"speaker": t.speaker.value, "text": t.text} for t in dialogue.turns],
        }
        for dialogue in dialogues
    ]
    write_lines(path, (json.dumps(row, ensure_ascii=False) for row in rows))


def fingerprint(dialogues: Iterable[Dialogue]) -> str:
    """SHA-256 of ids, categories and words, whatever the order."""
    rows = sorted(
        json.dumps([d.id, d.category, [[t.speaker, t.text] for t in d.turns]]) for d in dialogues
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def deal(dialogues: Iterable[Dialogue], test: float, dev: float, salt: str) -> dict[str, Split]:
    """The split of each dialogue by id: `test` and `dev` are shares.

    By a hash of how the caller opens, so that dialogues which open word by word the same are in
    one split, and none moves when others are added.
    """
    splits = {}
    for dialogue in dialogues:
        opening = normalise(dialogue.caller[0])
        digest = hashlib.sha256(f"{salt}\0{opening}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        if place < test:
            splits[dialogue.id] = Split.TEST
        else:
            splits[dialogue.id] = Split.DEV if place < test + dev else Split.TRAIN
    return splits


def so_far(turns: Sequence[str]) -> str:
    """What the category model reads of a caller's `turns`: a line each."""
    return "\n".join(" ".join(turn.split()) for turn in turns)


def prefix(dialogue: Dialogue, turns: int, split: Split) -> Example:
    """The dialogue after so many turns of the caller (all, where there are fewer)."""
    said = dialogue.caller[:turns]
    return Example(
        clip_id=f"{dialogue.id}/{len(said)}",
        customer_id=dialogue.id,
        label=dialogue.category,
        split=split,
        text=so_far(said),
        # Texts have no length in seconds: each counts as one in training.batch_s.
        duration_s=1.0,
    )


def _dialogue(line: str, place: str) -> Dialogue:
    """Texts are never in the messages: they are what people said."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise CorpusError(f"{place}: no JSON ({error}): a dialogue is one object a line") from None
    if not isinstance(row, dict):
        raise CorpusError(f"{place}: a dialogue is an object with id, category and turns")
    for key in ("id", "category"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise CorpusError(f"{place}: '{key}' must be a word, found {_kind(row.get(key))}")
    turns = row.get("turns")
    if not isinstance(turns, list) or not 0 < len(turns) <= MOST_TURNS:
        raise CorpusError(
            f"{place}: 'turns' must be a list of 1 to {MOST_TURNS} turns, found {_kind(turns)}"
        )
    said = tuple(_said(turn, f"{place}, turn {at}") for at, turn in enumerate(turns, 1))
    dialogue = Dialogue(row["id"], row["category"], said)
    if not dialogue.caller:
        raise CorpusError(f"{place}: the caller says nothing: at least one turn must be theirs")
    return dialogue


def _said(turn: Any, place: str) -> Said:
    if not isinstance(turn, dict):
        raise CorpusError(f"{place}: a turn is an object with speaker and text")
    speaker, text = turn.get("speaker"), turn.get("text")
    if speaker not in (*Side, "robot"):
        raise CorpusError(f"{place}: 'speaker' must be caller or callee, found {_kind(speaker)}")
    if not isinstance(text, str) or not normalise(text):
        raise CorpusError(f"{place}: 'text' must have words, found {_kind(text, shown=False)}")
    return Said(Side.CALLER if speaker == Side.CALLER else Side.CALLEE, text)


def _kind(value: object, shown: bool = True) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"'{value[:40]}'" if shown and value else "a text without words"
    return f"a {type(value).__name__}"
