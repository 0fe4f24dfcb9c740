"""How speech sounds, as words: models that read text then read sound, too.

Each feature has five levels, as usual in the middle. The word of a stronger level begins with that
of the weaker one, so that n-grams of both have something in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from persona_ray.conversation import Tone


@dataclass(frozen=True, slots=True)
class _Feature:
    """`words` from far below as usual to far above; a difference counts from `some`, in the
    feature's unit, and is far from `far`."""

    some: float
    far: float
    words: tuple[str, str, str, str, str]


FEATURES = {
    "pitch_st": _Feature(1.0, 3.0, ("音低低", "音低", "音平", "音高", "音高高")),
    "range_st": _Feature(1.0, 3.0, ("调窄窄", "调窄", "调平", "调宽", "调宽宽")),
    "level_db": _Feature(2.0, 5.0, ("声小小", "声小", "声平", "声大", "声大大")),
    "rate": _Feature(0.15, 0.4, ("速慢慢", "速慢", "速平", "速快", "速快快")),
    "pause": _Feature(0.08, 0.2, ("停少少", "停少", "停平", "停多", "停多多")),
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
    feature = FEATURES[name]
    size = (abs(value) >= feature.some) + (abs(value) >= feature.far)
    return size if value >= 0 else -size


def tone_words(tone: Tone) -> str:
    """A word for each feature, in a fixed order; pitch is left out where there was none."""
    return "".join(
        feature.words[2 + level(name, getattr(tone, name))]
        for name, feature in FEATURES.items()
        if tone.voiced or name not in _VOICED
    )


def in_words(tone: Tone, language: Literal["zh", "en"]) -> tuple[str, ...]:
    """For people: what is not as usual of a tone, none where all is."""
    found = []
    for name, (below, above) in _NAMES[language].items():
        at = level(name, getattr(tone, name))
        if at and (tone.voiced or name not in _VOICED):
            far = _FAR[language] if abs(at) == 2 else ""
            found.append(far + (above if at > 0 else below))
    return tuple(found)
