"""What an assisted call knows of a sentence, as its events tell it and the store keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from persona_ray.serving.assist.protocol import KeywordFelt, Pushed, ShownScript, TurnHeard
from persona_ray.store.assist.records import NewEvent

if TYPE_CHECKING:
    from persona_ray.conversation import Relation
    from persona_ray.inference.assist.records import Mood, Sentence, Suggestion
    from persona_ray.serving.assist.mind import Clock
    from persona_ray.serving.assist.protocol import Kept
    from persona_ray.store.assist.records import NewSuggestion

_DIGITS = 4


def turn_heard(
    turn: Sentence,
    seq: int,
    timings_s: Mapping[str, float],
    mood: Mood | None = None,
    relation: Relation | None = None,
) -> TurnHeard:
    """`mood` and `relation`: of a customer's turn."""
    event = TurnHeard(
        seq=seq,
        speaker=turn.speaker,
        text=turn.text,
        start_s=round(turn.start_s, 3),
        end_s=round(turn.end_s, 3),
        timings_s=dict(timings_s),
    )
    if mood is None:
        return event
    felt = [(word, max(word.combined, key=word.combined.__getitem__)) for word in mood.keywords]
    return event.model_copy(
        update={
            "emotion": mood.emotion,
            "probabilities": {
                emotion: round(share, _DIGITS) for emotion, share in mood.combined.items()
            },
            "valence": round(mood.valence, _DIGITS),
            "relation": relation,
            "keywords": tuple(
                KeywordFelt(
                    text=word.text,
                    start=word.start,
                    end=word.end,
                    emotion=emotion,
                    probability=round(word.combined[emotion], _DIGITS),
                )
                for word, emotion in felt
            ),
        }
    )


def shown_scripts(made: Suggestion) -> tuple[ShownScript, ...]:
    """Those on the device, the large one first."""
    scripts = [made.candidates[place].script for place in made.shown]
    return tuple(
        ShownScript(script_id=one.id, text=one.text, topic=one.topic, style=one.style)
        for one in scripts
    )


def timed(event: Kept, clock: Clock | None) -> Kept:
    """A push as it is sent: how long it took to be kept is known by now."""
    if clock is None or not isinstance(event, Pushed):
        return event
    return event.model_copy(update={"timings_s": clock.timings_s})


def new_event(event: Kept, suggestion: NewSuggestion | None) -> NewEvent:
    body = event.model_dump_json()
    if isinstance(event, Pushed) and suggestion is not None and suggestion.push is not None:
        return NewEvent(body, event.push_id, suggestion.push.expires_at)
    return NewEvent(body)
