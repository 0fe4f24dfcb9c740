"""Between voice activity and a recogniser: what is decoded together, and what words to believe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.vad import Span, widened
from persona_ray.types import Word

if TYPE_CHECKING:
    from persona_ray.types import Samples

_ENERGY_STEP_S = 0.02
_ENERGY_WINDOW_S = 0.1
# Attention is soft by about this much: a word may stand that far outside of its speech.
_TOLERANCE_S = 0.25


def utterances(
    samples: Samples,
    rate_hz: int,
    speech: Sequence[Span],
    *,
    gap_s: float,
    max_s: float,
    keep_s: float,
) -> tuple[Span, ...]:
    """Spans to decode one by one: speech with pauses under `gap_s`, at most `max_s` long.

    Each keeps up to `keep_s` of what surrounds it, never of its neighbours. Longer speech is cut
    where it is quietest, in the last half of what fits.
    """
    joined: list[Span] = []
    for span in speech:
        last = joined[-1] if joined else None
        if last and span.start_s - last.end_s < gap_s and span.end_s - last.start_s <= max_s:
            joined[-1] = Span(last.start_s, span.end_s)
        else:
            joined.extend(_split(samples, rate_hz, span, max_s))
    return widened(joined, keep_s, len(samples) / rate_hz)


def _split(samples: Samples, rate_hz: int, span: Span, max_s: float) -> list[Span]:
    parts = []
    start_s = span.start_s
    while span.end_s - start_s > max_s:
        cut_s = quietest(samples, rate_hz, Span(start_s + max_s / 2, start_s + max_s))
        parts.append(Span(start_s, cut_s))
        start_s = cut_s
    return [*parts, Span(start_s, span.end_s)]


def quietest(samples: Samples, rate_hz: int, span: Span) -> float:
    """The middle of the quietest tenth of a second of `span`, in seconds."""
    step = max(1, round(_ENERGY_STEP_S * rate_hz))
    part = samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)]
    power = np.square(part[: len(part) // step * step].reshape(-1, step)).mean(axis=1)
    width = round(_ENERGY_WINDOW_S / _ENERGY_STEP_S)
    if len(power) <= width:
        return span.end_s
    smooth = np.convolve(power, np.ones(width), mode="valid")
    return span.start_s + (int(np.argmin(smooth)) + width / 2) * step / rate_hz


def within(speech: Sequence[Span], utterance: Span) -> list[Span]:
    """The spans of `speech` that `utterance` covers, wholly or in part."""
    return [
        span for span in speech if span.start_s < utterance.end_s and utterance.start_s < span.end_s
    ]


def believable(words: Sequence[Word], speech: Sequence[Span]) -> list[Word]:
    """Words with times trimmed to the span they share most with.

    A word further than 0.25 s from all speech is a hallucination and is dropped.
    """
    out: list[Word] = []
    for word in words:
        span = max(speech, key=lambda span: _overlap(word, span), default=None)
        if span is None or _overlap(word, span) < -_TOLERANCE_S:
            continue
        start_s = min(max(word.start_s, span.start_s), span.end_s)
        out.append(Word(word.text, start_s, max(min(word.end_s, span.end_s), start_s)))
    return out


def in_order(words: Sequence[Word]) -> tuple[Word, ...]:
    """Words by start, none before the end of the one before it, in whole milliseconds."""
    out: list[Word] = []
    for word in sorted(words, key=lambda word: word.start_s):
        start_s = max(round(word.start_s, 3), out[-1].end_s if out else 0.0)
        out.append(Word(word.text, start_s, max(round(word.end_s, 3), start_s)))
    return tuple(out)


def unheard(words: Sequence[Word], speech: Sequence[Span], min_s: float) -> tuple[Span, ...]:
    """The spans of at least `min_s` in which no word was heard."""
    return tuple(
        span
        for span in speech
        if span.duration_s >= min_s and not any(_overlap(word, span) > 0 for word in words)
    )


def _overlap(word: Word, span: Span) -> float:
    """Seconds that both share; negative: seconds between them."""
    return min(word.end_s, span.end_s) - max(word.start_s, span.start_s)


def has_loop(text: str) -> bool:
    """Whether a phrase is repeated as only a decoder that lost its way repeats.

    People say 对对对对; nobody says one phrase of three or more characters five times on end, nor
    one or two characters nine times.
    """
    return repeats(text) is not None


def without_loops(items: Sequence[Word]) -> tuple[Word, ...]:
    """The words with every loop (see `has_loop`) cut down to its first round."""
    words = list(items)
    while (found := repeats([word.text for word in words])) is not None:
        start, unit, rounds = found
        del words[start + unit : start + unit * rounds]
    return tuple(words)


def repeats(items: Sequence[str]) -> tuple[int, int, int] | None:
    """First loop of `items` as (start, length of its unit, rounds), or None."""
    for unit in range(1, 13):
        limit = 9 if unit <= 2 else 5
        for start in range(len(items) - unit * limit + 1):
            rounds = 1
            first = items[start : start + unit]
            while items[start + unit * rounds : start + unit * (rounds + 1)] == first:
                rounds += 1
            if rounds >= limit:
                return start, unit, rounds
    return None
