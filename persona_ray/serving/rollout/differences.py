"""How much the colours of two answers to one request differ: 0 not at all, 1 all of them.

Where neither has a colour there is nothing to compare, and `NO_COLOUR` says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from persona_ray.inference.clips import (
        CallRecognition,
        ClipRecognition,
        SentenceRecognition,
    )


class NoColour:
    """Neither answer has a colour."""


NO_COLOUR: Final = NoColour()


def clips_differ(
    ours: Sequence[ClipRecognition], theirs: Sequence[ClipRecognition]
) -> float | NoColour:
    return _share([clip.result for clip in ours], [clip.result for clip in theirs])


def sentences_differ(
    ours: Sequence[SentenceRecognition], theirs: Sequence[SentenceRecognition]
) -> float | NoColour:
    """A sentence that only one of them found differs."""
    return _share([each.result for each in ours], [each.result for each in theirs])


def calls_differ(ours: CallRecognition, theirs: CallRecognition) -> float | NoColour:
    """By the colour of the whole call."""
    return _share([ours.result], [theirs.result])


def _share(
    ours: Sequence[Recognition | NothingUsable], theirs: Sequence[Recognition | NothingUsable]
) -> float | NoColour:
    pairs = [
        (_colour(mine), _colour(other))
        for mine, other in zip_longest(ours, theirs, fillvalue=NothingUsable(""))
    ]
    coloured = [pair for pair in pairs if any(pair)]
    if not coloured:
        return NO_COLOUR
    return sum(mine != other for mine, other in coloured) / len(coloured)


def _colour(result: Recognition | NothingUsable) -> str:
    return result.primary if isinstance(result, Recognition) else ""
