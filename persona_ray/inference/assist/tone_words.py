"""How speech sounds, in words for people. What models read of it: `emotion/sounding.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from persona_ray.conversation import Tone

# In a feature's unit: from where a difference counts, and from where it is far.
_LEVELS = {
    "pitch_st": (1.0, 3.0),
    "range_st": (1.0, 3.0),
    "level_db": (2.0, 5.0),
    "rate": (0.15, 0.4),
    "pause": (0.08, 0.2),
}
_VOICED = ("pitch_st", "range_st")
# What people read: below and above as usual.
_NAMES = {
    "zh": {
        "pitch_st": ("音调偏低", "音调偏高"),
        "range_st": ("语调偏平", "语调起伏大"),
        "level_db": ("声音偏小", "声音偏大"),
        "rate": ("语速偏慢", "语速偏快"),
        "pause": ("停顿偏少", "停顿偏多"),
    },
    "en": {
        "pitch_st": ("lower", "higher"),
        "range_st": ("flatter", "livelier"),
        "level_db": ("quieter", "louder"),
        "rate": ("slower", "faster"),
        "pause": ("fewer pauses", "more pauses"),
    },
}
_FAR = {"zh": "明显", "en": "much "}


def level(name: str, value: float) -> int:
    """-2 to 2: how far the feature `name` of a tone lies from usual."""
    some, far = _LEVELS[name]
    size = (abs(value) >= some) + (abs(value) >= far)
    return size if value >= 0 else -size


def in_words(tone: Tone, language: Literal["zh", "en"]) -> tuple[str, ...]:
    """For people: what is not as usual of a tone, none where all is."""
    found = []
    for name, (below, above) in _NAMES[language].items():
        at = level(name, getattr(tone, name))
        if at and (tone.voiced or name not in _VOICED):
            far = _FAR[language] if abs(at) == 2 else ""
            found.append(far + (above if at > 0 else below))
    return tuple(found)
