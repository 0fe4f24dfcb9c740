"""Labelled conversations -> what the emotion model learns from and is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion, Speaker, Tone
from persona_ray.inference.assist.emotion.model import (
    keyword_text,
    sentence_text,
    without_sound,
)
from persona_ray.inference.assist.emotion.sounding import Sounding
from persona_ray.types import Example, Split

if TYPE_CHECKING:
    from persona_ray.corpus.conversations import Conversation


@dataclass(frozen=True, slots=True)
class Labelled:
    """A sentence of a customer, or a keyword of one, and the emotion that it shows. `place`:
    characters from and to of what was `said` where it is a keyword, None where it is all."""

    id: str
    customer: str
    said: Sounding
    emotion: Emotion
    place: tuple[int, int] | None = None

    @property
    def read(self) -> str:
        """What the model reads of it."""
        if self.place is None:
            return sentence_text(self.said)
        return keyword_text(self.said, *self.place)

    def example(self, split: Split, sound: bool = True) -> Example:
        """As training sees it; without `sound` nothing is said of how it sounded."""
        return Example(
            clip_id=self.id,
            customer_id=self.customer,
            label=self.emotion.value,
            split=split,
            text=self.read if sound else without_sound(self.read),
            # Texts have no length in seconds: each counts as one in training.batch_s.
            duration_s=1.0,
        )


def labelled(conversations: Iterable[Conversation]) -> list[Labelled]:
    """Every labelled sentence of a customer, and its keywords; what was not measured sounds as
    usual."""
    return [one for conversation in conversations for one in _of(conversation)]


def _of(conversation: Conversation) -> Iterator[Labelled]:
    for number, turn in enumerate(conversation.turns):
        if turn.speaker is not Speaker.CUSTOMER:
            continue
        parts = [(m.start, m.end, m.tone) for m in turn.keywords if m.tone is not None]
        said = Sounding(turn.text, turn.tone or Tone(), tuple(parts))
        name, person = f"{conversation.id}/{number}", conversation.person
        if turn.emotion is not None:
            yield Labelled(name, person, said, turn.emotion)
        for mark in turn.keywords:
            place = (mark.start, mark.end)
            yield Labelled(f"{name}/{mark.start}", person, said, mark.emotion, place)
