"""Texts to learn words from: dialogues of the workspace's clips and of files beside them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from persona_ray.corpus.dialogue_shapes import Turns
from persona_ray.corpus.text_files import BrokenLines, find_files, read_file
from persona_ray.types import ClipInfo

# After the marks that end a sentence and a quote or bracket that they stand in.
_SENTENCE_END = re.compile(
    r"(?<=[。？！?!])(?![。？！?!”’」』）)])|(?<=[。？！?!][”’」』）)])(?![。？！?!”’」』）)])"
)
# A sentence that is too long is cut after one of these, the later ones only where the first fail.
_PAUSES = ("；;", "，,：:", "、 ")


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What one pass over the dialogues met.

    `repeats` are dialogues that were there before, word by word, and are left out. `broken` lines
    are counted by reason, `examples` name the first of each.
    """

    dialogues: int = 0
    turns: int = 0
    characters: int = 0
    repeats: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        again = f"; {self.repeats:,} repeated dialogues left out" if self.repeats else ""
        lines = [
            f"texts: {self.dialogues:,} dialogues, {self.turns:,} turns, "
            f"{self.characters:,} characters{again}"
        ]
        lines += [
            f"  {count:,} lines left out: {reason} (first: {self.examples[reason]})"
            for reason, count in sorted(self.broken.items(), key=lambda item: -item[1])
        ]
        return "\n".join(lines)


class Dialogues:
    """All dialogues, read anew at every pass and never held in memory together.

    A dialogue that repeats another word by word is left out (a file named twice, an archive that
    was exported twice). Sentences that repeat are kept: people do say `好的，谢谢。` all the time,
    and a dialogue without them would not be one.
    """

    def __init__(
        self,
        files: Sequence[str] = (),
        clips: Callable[[], Iterable[ClipInfo]] | None = None,
    ) -> None:
        """`clips` gives clips with those of a call next to each other, at each call anew.

        Raises CorpusError for a pattern in `files` without a file or with one of another kind.
        """
        self._files = find_files(files)
        self._clips = clips
        self._report = ReadReport()

    @property
    def report(self) -> ReadReport:
        """Of the last pass that came to its end."""
        return self._report

    def __iter__(self) -> Iterator[Turns]:
        """Raises CorpusError for files that cannot be used."""
        broken = BrokenLines()
        dialogues = turns = characters = repeats = 0
        seen: set[bytes] = set()
        for dialogue in self._all(broken):
            digest = hashlib.blake2b("\n".join(dialogue).encode(), digest_size=8).digest()
            if digest in seen:
                repeats += 1
                continue
            seen.add(digest)
            dialogues += 1
            turns += len(dialogue)
            characters += sum(map(len, dialogue))
            yield dialogue
        self._report = ReadReport(
            dialogues, turns, characters, repeats, broken.reasons, broken.first
        )

    def _all(self, broken: BrokenLines) -> Iterator[Turns]:
        if self._clips is not None:
            yield from dialogues_of_clips(self._clips())
        for file in self._files:
            yield from read_file(file, broken)


def dialogues_of_clips(clips: Iterable[ClipInfo]) -> Iterator[Turns]:
    """What the customer said in each call, in order of time; clips of a call stand together."""
    for _, call in groupby(clips, key=lambda clip: clip.call_id):
        spoken = sorted(call, key=lambda clip: (clip.start_s, clip.end_s, clip.clip_id))
        turns = tuple(text for clip in spoken if (text := " ".join(clip.text.split())))
        if turns:
            yield turns


def sentences(turn: str, longest: int) -> Iterator[str]:
    """Cut a turn after 。？！, and what is longer than `longest` characters at its pauses.

    Nothing is lost but spaces at the cuts.
    """
    for sentence in _SENTENCE_END.split(turn):
        rest = sentence.strip()
        while len(rest) > longest:
            at = _pause(rest, longest)
            yield rest[:at].rstrip()
            rest = rest[at:].lstrip()
        if rest:
            yield rest


def _pause(text: str, longest: int) -> int:
    """Where to cut `text` so that at most `longest` characters stand before."""
    for marks in _PAUSES:
        at = max(text.rfind(mark, 0, longest) for mark in marks)
        # A cut near the beginning would leave a scrap.
        if at + 1 > longest // 3:
            return at + 1
    return longest
