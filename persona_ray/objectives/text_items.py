"""Tokens of a whole corpus in flat arrays, cut into segments that fit the encoder.

A segment is as many neighbouring sentences of one dialogue as fit. Packed so, each is read in the
context of its neighbours (RoBERTa's DOC-SENTENCES, Liu et al. 2019, arXiv 1907.11692), and fewer
of the computed tokens are [CLS], [SEP] and padding: clips of calls have twenty characters.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from persona_ray.corpus.texts import sentences
from persona_ray.objectives.words import Tokenised, WordTokenizer

# Dialogues that are tokenised together.
_AT_ONCE = 256
# Foreign segments are looked for among so many that are next shorter than the true one.
_SHORTER = 256
_TRIES = 16
NONE = -1


@dataclass(frozen=True)
class Segments:
    """`tokens` (all,) and `starts` (all,), where words begin; segment n is what lies between
    `borders[n]` and `borders[n + 1]`, and belongs to dialogue `dialogues[n]`."""

    tokens: NDArray[np.int32]
    starts: NDArray[np.bool_]
    borders: NDArray[np.int64]
    dialogues: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.dialogues)

    def of(self, number: int) -> Tokenised:
        """Tokens (tokens,) and word starts (tokens,) of one segment."""
        part = slice(self.borders[number], self.borders[number + 1])
        return self.tokens[part], self.starts[part]

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each segment, (segments,)."""
        return np.diff(self.borders)

    @cached_property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for part in (self.tokens, self.starts, self.borders, self.dialogues):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def pairs(self) -> NDArray[np.int32]:
        """Segments that follow each other in a dialogue, (pairs, 2): every segment stands in one
        pair, the last of an odd number in two; a dialogue of one segment gives (segment, NONE)."""
        found: list[tuple[int, int]] = []
        changes = np.flatnonzero(np.diff(self.dialogues)) + 1
        for first, end in zip([0, *changes], [*changes, len(self)], strict=True):
            if end - first == 1:
                found.append((first, NONE))
                continue
            found += [(at, at + 1) for at in range(first, end - 1, 2)]
            if (end - first) % 2:
                found.append((end - 2, end - 1))
        return np.array(found, dtype=np.int32).reshape(-1, 2)

    def foreign(self, number: int, rng: np.random.Generator) -> int:
        """A segment of another dialogue; one that is as long as segment `number` or the next
        shorter, where there is one: that it is foreign must not be told from its length.

        Needs two dialogues.
        """
        by_length, rank, lengths = self._by_length
        low = max(0, rank[number] - _SHORTER)
        high = int(np.searchsorted(lengths, self.lengths[number], side="right"))
        for place in rng.integers(low, high, size=_TRIES):
            if self.dialogues[by_length[place]] != self.dialogues[number]:
                return int(by_length[place])
        others = np.flatnonzero(self.dialogues != self.dialogues[number])
        return int(rng.choice(others))

    @cached_property
    def _by_length(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        order = np.argsort(self.lengths, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return order, rank, self.lengths[order]

    def __getstate__(self) -> dict[str, Any]:
        # Without what is made on demand.
        names = ("tokens", "starts", "borders", "dialogues")
        return {name: self.__dict__[name] for name in names}


def segments_of(
    dialogues: Iterable[Sequence[str]], tokenizer: WordTokenizer, longest: int
) -> Segments:
    """Segments of at most `longest` tokens, in the order of `dialogues`, which is read once."""
    tokens, starts = array("i"), bytearray()
    ends, numbers = array("q", [0]), array("i")
    for number, pieces in enumerate(_tokenised(dialogues, tokenizer, longest)):
        room = 0
        for piece, word_starts in pieces:
            if len(piece) > room:
                room = longest
                ends.append(ends[-1])
                numbers.append(number)
            tokens.frombytes(piece.tobytes())
            starts += word_starts.tobytes()
            ends[-1] += len(piece)
            room -= len(piece)
    return Segments(
        # frombuffer: no second copy of the whole corpus.
        np.frombuffer(tokens, np.int32) if tokens else np.zeros(0, np.int32),
        np.frombuffer(starts, np.bool_) if starts else np.zeros(0, np.bool_),
        np.array(ends, dtype=np.int64),
        np.array(numbers, dtype=np.int32),
    )


def _tokenised(
    dialogues: Iterable[Sequence[str]], tokenizer: WordTokenizer, longest: int
) -> Iterator[list[Tokenised]]:
    """The sentences of each dialogue, none of them empty or longer than `longest` tokens."""
    waiting = iter(dialogues)
    while batch := list(islice(waiting, _AT_ONCE)):
        # A token of a BERT has at least a character, so that many characters fit.
        cut = [[part for turn in turns for part in sentences(turn, longest)] for turns in batch]
        flat = iter(tokenizer([part for parts in cut for part in parts]))
        for parts in cut:
            own = [next(flat) for _ in parts]
            yield [(t[:longest], s[:longest]) for t, s in own if len(t)]
