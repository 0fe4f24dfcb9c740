"""From words with times to sentences, audio and text in step.

Recognisers stretch words over pauses, so words are first trimmed to detected speech. A sentence
ends at a long enough gap, at final punctuation, and where it would grow too long. Its borders go
out to where speech begins and ends, and a little further.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.types import Transcript, Word

if TYPE_CHECKING:
    from persona_ray.audio.vad import Span
    from persona_ray.config.corpus import CutConfig

_FINAL = tuple("。！？!?；;…")
# A recogniser that writes a comma expects the sentence to go on: the pause may be this much longer.
_COMMAS = tuple("，,、")
_COMMA_FACTOR = 2.0
# How far a border may go from the recogniser's word to reach the edge of detected speech.
_SNAP_S = 0.4
# Sums of times in seconds differ by this much at most; it is less than a sample.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words that were said in one go, and where their audio is cut, in seconds of the call.

    Every word lies within `start_s` and `end_s`. `speech_s` is the detected speech between them.
    """

    words: tuple[Word, ...]
    start_s: float
    end_s: float
    speech_s: float

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words).strip()

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


def count_characters(text: str) -> int:
    """Characters that are said: letters, digits, Chinese characters; no punctuation, no spaces."""
    return sum(character.isalnum() for character in text)


def cut_sentences(
    transcript: Transcript, speech: Sequence[Span], config: CutConfig
) -> list[Sentence]:
    """Every word of `transcript` in exactly one sentence, in order.

    Sentences do not overlap and are at most `config.max_clip_s` long. `speech` are the detected
    spans of the same channel, in order; without any, the words' own times are taken. Short
    sentences are kept here: what becomes a clip is decided later.
    """
    pad_s = min(config.pad_s, config.max_clip_s / 4)
    room_s = config.max_clip_s - 2 * pad_s
    words = _tidy(transcript.words, speech, room_s)
    groups = [
        part for group in _split_at_gaps(words, config) for part in _split_long(group, room_s)
    ]
    return _with_borders(groups, speech, pad_s, room_s)


def _tidy(words: Sequence[Word], speech: Sequence[Span], room_s: float) -> list[Word]:
    """Words trimmed to speech, none overlapping the one before, none longer than `room_s`."""
    tidy: list[Word] = []
    floor_s = 0.0
    for word in words:
        start_s, end_s = word.start_s, max(word.start_s, word.end_s)
        overlaps = [
            (min(end_s, span.end_s) - max(start_s, span.start_s), span)
            for span in speech
            if span.end_s > start_s and span.start_s < end_s
        ]
        if overlaps:
            _, span = max(overlaps, key=lambda overlap: overlap[0])
            start_s, end_s = max(start_s, span.start_s), min(end_s, span.end_s)
        start_s = max(start_s, floor_s)
        end_s = min(max(end_s, start_s), start_s + room_s)
        tidy.append(Word(word.text, start_s, end_s))
        floor_s = end_s
    return tidy


def _split_at_gaps(words: Sequence[Word], config: CutConfig) -> list[list[Word]]:
    groups: list[list[Word]] = []
    for word in words:
        if groups and not _ends(groups[-1], word, config):
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups


def _ends(group: Sequence[Word], following: Word, config: CutConfig) -> bool:
    """Whether the sentence `group` is over before `following`."""
    if not count_characters(following.text):
        # Punctuation on its own belongs to what it closes.
        return False
    said = "".join(word.text for word in group).rstrip()
    if said.endswith(_FINAL):
        return True
    wait_s = config.sentence_gap_s * (_COMMA_FACTOR if said.endswith(_COMMAS) else 1.0)
    return following.start_s - group[-1].end_s >= wait_s


def _split_long(group: list[Word], room_s: float) -> list[list[Word]]:
    """Halve at the widest gap until every part fits; of equal gaps, the one nearest the middle."""
    if group[-1].end_s - group[0].start_s <= room_s + _ROUNDING_S or len(group) == 1:
        return [group]
    middle_s = (group[0].start_s + group[-1].end_s) / 2

    def width(at: int) -> tuple[float, float]:
        gap_s = group[at].start_s - group[at - 1].end_s
        # Recognisers round to 10 ms; smaller differences say nothing.
        return round(gap_s, 2), -abs(group[at].start_s - middle_s)

    at = max(range(1, len(group)), key=width)
    return _split_long(group[:at], room_s) + _split_long(group[at:], room_s)


def _with_borders(
    groups: Sequence[list[Word]], speech: Sequence[Span], pad_s: float, room_s: float
) -> list[Sentence]:
    snapped = []
    for number, group in enumerate(groups):
        before_s = groups[number - 1][-1].end_s if number else 0.0
        after_s = groups[number + 1][0].start_s if number + 1 < len(groups) else float("inf")
        snapped.append(_snap(group, speech, before_s, after_s, room_s))
    sentences = []
    for number, group in enumerate(groups):
        start_s, end_s = snapped[number]
        # Neighbours share the gap between them.
        low_s = (snapped[number - 1][1] + start_s) / 2 if number else 0.0
        high_s = (end_s + snapped[number + 1][0]) / 2 if number + 1 < len(groups) else float("inf")
        start_s, end_s = max(start_s - pad_s, low_s), min(end_s + pad_s, high_s)
        speech_s = sum(
            max(0.0, min(end_s, span.end_s) - max(start_s, span.start_s)) for span in speech
        )
        sentences.append(Sentence(tuple(group), start_s, end_s, speech_s))
    return sentences


def _snap(
    group: Sequence[Word],
    speech: Sequence[Span],
    before_s: float,
    after_s: float,
    room_s: float,
) -> tuple[float, float]:
    """Borders at the edges of the speech that the first and the last word stand in.

    They never pass the middle to the neighbours' words at `before_s` and `after_s`, nor leave
    more than `room_s` between them.
    """
    start_s, end_s = group[0].start_s, group[-1].end_s
    spare_s = max(0.0, room_s - (end_s - start_s))
    lead_s = trail_s = 0.0
    for span in speech:
        if span.start_s < start_s <= span.end_s:
            free_s = start_s - max(span.start_s, (before_s + start_s) / 2)
            lead_s = max(0.0, min(free_s, _SNAP_S))
        if span.start_s <= end_s < span.end_s:
            free_s = min(span.end_s, (end_s + after_s) / 2) - end_s
            trail_s = max(0.0, min(free_s, _SNAP_S))
    if lead_s + trail_s > spare_s:
        share = spare_s / (lead_s + trail_s)
        lead_s, trail_s = lead_s * share, trail_s * share
    return start_s - lead_s, end_s + trail_s
