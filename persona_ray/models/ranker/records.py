"""What the two towers read, and how it is made of a sentence and of a script.

Training and serving make both here, so that one never reads what the other did not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.conversation import Emotion, Relation, Scene, Script, Tone

# Turns before the sentence that are read, the last one first.
TURNS_BEFORE = 2


@dataclass(frozen=True, slots=True)
class Query:
    """What was said and how. `text`: the sentence, then the turns before it, a line each, the last
    one first. `features` by name; one that is missing is not known."""

    text: str
    features: Mapping[str, float]

    @property
    def sentences(self) -> tuple[str, ...]:
        """Those whose meaning counts."""
        return (self.text.partition("\n")[0],)


@dataclass(frozen=True, slots=True)
class Item:
    """What may be answered. `text`: the sentences that it was written for in the first line, what
    it says in the second; `answers`: the same sentences one by one."""

    key: str
    text: str
    features: Mapping[str, float]
    answers: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """Those whose meaning counts."""
        return self.answers


@dataclass(frozen=True, slots=True)
class Pair:
    """A query that script `key` answered. `score`: what came of it, 0 to 100; `customer`: whom it
    was said to."""

    query: Query
    key: str
    score: float
    customer: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Free words that followed on a query: neither a script nor a score is known."""

    query: Query
    item: Item
    customer: str


def query_of(
    text: str,
    before: Sequence[str],
    scene: Scene,
    relation: Relation,
    emotions: Mapping[Emotion, float],
    tone: Tone | None,
    colour: Mapping[str, float],
) -> Query:
    """`before`: the last turns, oldest first. `tone` None: it says nothing. `colour` empty: nobody
    knows it."""
    lines = [text, *reversed(before[-TURNS_BEFORE:])]
    features = {
        f"product={scene.product}": 1.0,
        f"step={scene.step}": 1.0,
        f"relation={relation.value}": 1.0,
        **{f"emotion.{emotion.value}": share for emotion, share in emotions.items()},
        **{f"colour.{name}": share for name, share in colour.items()},
    }
    if tone is not None:
        features |= {f"tone.{name}": float(value) for name, value in asdict(tone).items()}
    return Query("\n".join(" ".join(line.split()) for line in lines), features)


def reply_of(query: Query, said: str, customer: str) -> Reply:
    """By words alone: of a turn without a script product, step and mood are seldom labelled."""
    said = " ".join(said.split())
    key = hashlib.sha256(said.encode()).hexdigest()
    return Reply(Query(query.text, {}), Item(key, said, {}), customer)


def item_of(script: Script) -> Item:
    features = {
        f"{kind}={value}": 1.0
        for kind, value in (
            ("product", script.product),
            ("topic", script.topic),
            ("style", script.style),
        )
        if value
    }
    answers, said = (" ".join(part.split()) for part in ("，".join(script.answers), script.text))
    return Item(script.id, f"{answers}\n{said}", features, script.answers)
