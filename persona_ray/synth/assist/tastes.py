"""What planted customers want to hear: which style suits whom, and how they take a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion

if TYPE_CHECKING:
    from persona_ray.conversation import Script

STYLES = ("factual", "soothing", "brief", "lively", "personal")

_CALM = {"red": "brief", "blue": "factual", "yellow": "lively", "green": "personal"}
# The best first.
_SUITS: Mapping[Emotion, Mapping[str, tuple[str, ...]]] = {
    Emotion.NEUTRAL: {colour: (style,) for colour, style in _CALM.items()},
    Emotion.PLEASED: {
        "red": ("lively", "brief"), "blue": ("personal", "factual"),
        "yellow": ("lively",), "green": ("personal",),
    },
    Emotion.INTERESTED: {
        "red": ("brief",), "blue": ("factual",),
        "yellow": ("lively", "personal"), "green": ("personal",),
    },
    Emotion.SURPRISED: {
        "red": ("brief",), "blue": ("factual",), "yellow": ("lively",), "green": ("factual",),
    },
    Emotion.DOUBTFUL: {
        "red": ("factual", "brief"), "blue": ("factual",),
        "yellow": ("factual",), "green": ("factual", "personal"),
    },
    Emotion.WORRIED: {
        "red": ("soothing",), "blue": ("soothing", "factual"),
        "yellow": ("soothing",), "green": ("soothing", "personal"),
    },
    Emotion.DISAPPOINTED: {
        "red": ("soothing",), "blue": ("soothing",),
        "yellow": ("soothing", "personal"), "green": ("soothing", "personal"),
    },
    Emotion.ANNOYED: {
        "red": ("brief", "soothing"), "blue": ("brief",),
        "yellow": ("soothing",), "green": ("soothing",),
    },
    Emotion.ANGRY: {
        "red": ("soothing", "brief"), "blue": ("soothing",),
        "yellow": ("soothing",), "green": ("soothing",),
    },
}  # fmt: skip
LOW = (Emotion.WORRIED, Emotion.DISAPPOINTED, Emotion.ANNOYED, Emotion.ANGRY)
_BEST, _SECOND = 0.92, 0.82
_TOPIC_ONLY, _JARRING = 0.40, 0.20
OTHER_TOPIC, _OTHER_PRODUCT = 0.10, 0.02


def suiting(emotion: Emotion, colour: str) -> tuple[str, ...]:
    """Styles, the best first, one or two."""
    return _SUITS[emotion][colour]


def chance(product: str, topic: str, emotion: Emotion, colour: str, script: Script) -> float:
    """That a customer of `colour` accepts `script` after a sentence on `topic` in `emotion`."""
    if script.product not in ("", product):
        return _OTHER_PRODUCT
    if script.topic != topic:
        return OTHER_TOPIC
    styles = suiting(emotion, colour)
    if script.style == styles[0]:
        return _BEST
    if script.style in styles:
        return _SECOND
    return _JARRING if _jars(script.style, emotion) else _TOPIC_ONLY


def _jars(style: str, emotion: Emotion) -> bool:
    """Joking with who is cross, soothing who is calm, being short with who fears."""
    if style == "lively":
        return emotion in LOW
    if style == "soothing":
        return emotion in (Emotion.NEUTRAL, Emotion.PLEASED, Emotion.INTERESTED)
    return style == "brief" and emotion in (Emotion.WORRIED, Emotion.DISAPPOINTED)
