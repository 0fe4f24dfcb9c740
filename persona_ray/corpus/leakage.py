"""Whether what is judged on was trained on: one customer or one text in two splits.

The check looks at the splits alone, however they were made. Texts are compared as
`asr.text.normalise` leaves them. Near-duplicates are found with MinHash and locality-sensitive
hashing over character pairs (Broder 1997; datasketch), then verified: the similarity reported is
the true Jaccard index of the two sets of pairs.

Only held-out texts are indexed, and training texts stream past them. Memory grows with the number
of different texts (a million: 1.4 GiB), time is that of hashing (9,000 texts a second on one core).
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from persona_ray.asr.text import normalise
from persona_ray.config.corpus import SplitConfig
from persona_ray.errors import LeakageError
from persona_ray.types import ClipInfo, Split

# Pairs kept for the report, the most similar ones.
LISTED_PAIRS = 100
# Examples named in an error.
_NAMED = 3
# Of hashing: 64 permutations, bands for a threshold somewhat below the wanted one, since a missed
# pair is worse than one more candidate to verify. Pairs at the threshold are found with 99 %.
_PERMUTATIONS = 64
_LSH_WEIGHTS = (0.1, 0.9)
_LSH_MARGIN = 0.85
_BATCH = 2000
# One set for each split, shared by all texts that stand in it alone.
_ALONE = {split: frozenset([split]) for split in Split}


@dataclass(frozen=True, slots=True)
class CustomerLeak:
    """A customer in two or more splits."""

    customer_id: str
    splits: tuple[Split, ...]

    def __str__(self) -> str:
        return f"{self.customer_id} ({', '.join(self.splits)})"


@dataclass(frozen=True, slots=True)
class TextLeak:
    """One text in two or more splits; `clips` counts them in each."""

    text: str
    clips: Mapping[Split, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{split} {self.clips[split]}" for split in Split if split in self.clips)
        return f"'{self.text}' ({counts})"


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """Two texts of different splits whose character pairs overlap by `similarity` (Jaccard)."""

    similarity: float
    held_out: str
    held_out_split: Split
    other: str
    other_split: Split


@dataclass(frozen=True, slots=True)
class LeakageReport:
    """What stands in two splits. `clean` has the splits that may be used, by clip id.

    `dropped` clips are those that `clean` lacks. `near_duplicates` lists the most similar pairs of
    all `near_duplicate_pairs`; `near_duplicate_texts` of `held_out_texts` have one.
    """

    clean: Mapping[str, Split]
    customers: tuple[CustomerLeak, ...]
    texts: tuple[TextLeak, ...]
    dropped: tuple[str, ...]
    near_duplicates: tuple[NearDuplicate, ...]
    near_duplicate_pairs: int
    near_duplicate_texts: int
    held_out_texts: int

    def describe(self) -> list[str]:
        """Lines for people."""
        lines = [
            f"leakage: {len(self.customers)} customers and {len(self.texts)} texts in two splits, "
            f"{len(self.dropped)} clips dropped for it"
        ]
        if self.held_out_texts:
            lines.append(
                f"near-duplicates: {self.near_duplicate_texts} of {self.held_out_texts} texts of "
                f"dev and test resemble one of another split ({self.near_duplicate_pairs} pairs)"
            )
        return lines


def check_leakage(
    infos: Iterable[ClipInfo], splits: Mapping[str, Split], config: SplitConfig
) -> LeakageReport:
    """`find_leakage`, and LeakageError where a customer or a text stands in two splits.

    With `repeated_text: drop` a repeated text is no error: its clips are dropped from dev and
    test. A split by sentence leaks by design, so nothing is an error then.
    """
    report = find_leakage(infos, splits, config)
    if config.unit == "sentence":
        return report
    problems = []
    if report.customers:
        problems.append(_message("customers stand", report.customers))
    if report.texts and config.repeated_text == "fail":
        fix = "set splits.repeated_text=drop to drop their clips from dev and test"
        problems.append(f"{_message('texts stand', report.texts)}: {fix}")
    if problems:
        raise LeakageError("; ".join(problems))
    return report


def find_leakage(
    infos: Iterable[ClipInfo], splits: Mapping[str, Split], config: SplitConfig
) -> LeakageReport:
    """What leaks between the splits, without judging it. Clips without a split are passed over."""
    customers: dict[str, set[Split]] = {}
    texts: dict[str, frozenset[Split]] = {}
    counts: dict[str, Counter[Split]] = {}  # of texts that occur more than once
    clips_of: dict[str, list[str]] = {}
    shown: dict[str, str] = {}
    for info in infos:
        split = splits.get(info.clip_id)
        if split is None:
            continue
        customers.setdefault(info.customer_id, set()).add(split)
        key = normalise(info.text)
        if not key:
            continue
        if key not in texts:
            texts[key] = _ALONE[split]
            shown[key] = info.text
        else:
            counts.setdefault(key, Counter(texts[key]))[split] += 1
            texts[key] = frozenset(counts[key])
        if split is not Split.TRAIN:
            clips_of.setdefault(key, []).append(info.clip_id)
    repeated = [key for key, found in texts.items() if len(found) > 1]
    dropped: tuple[str, ...] = ()
    if config.repeated_text == "drop":
        dropped = tuple(sorted(clip for key in repeated for clip in clips_of[key]))
    gone = set(dropped)
    near = _near_duplicates(texts, shown, config.near_duplicate)
    return LeakageReport(
        clean={clip: split for clip, split in splits.items() if clip not in gone},
        customers=tuple(
            CustomerLeak(name, _ordered(found))
            for name, found in sorted(customers.items())
            if len(found) > 1
        ),
        texts=tuple(TextLeak(shown[key], dict(counts[key])) for key in sorted(repeated)),
        dropped=dropped,
        near_duplicates=near.listed,
        near_duplicate_pairs=near.pairs,
        near_duplicate_texts=near.texts,
        held_out_texts=len(clips_of),
    )


def character_pairs(text: str) -> frozenset[str]:
    """Neighbouring characters of a normalised text; of a single character, itself."""
    if len(text) < 2:
        return frozenset([text])
    return frozenset(text[place : place + 2] for place in range(len(text) - 1))


def jaccard(first: frozenset[str], second: frozenset[str]) -> float:
    return len(first & second) / len(first | second)


class _Near(NamedTuple):
    listed: tuple[NearDuplicate, ...]
    pairs: int
    texts: int


def _near_duplicates(
    texts: Mapping[str, frozenset[Split]], shown: Mapping[str, str], threshold: float
) -> _Near:
    """Pairs of different texts, of which one is held out and the other in another split."""
    held_out = sorted(key for key, found in texts.items() if found != _ALONE[Split.TRAIN])
    train_only = sorted(key for key, found in texts.items() if found == _ALONE[Split.TRAIN])
    # Imported here because it takes its time and most commands do without.
    from datasketch import MinHashLSH

    index: Any = MinHashLSH(
        threshold=_LSH_MARGIN * threshold, num_perm=_PERMUTATIONS, weights=_LSH_WEIGHTS
    )
    best: list[tuple[float, str, str]] = []
    pairs = 0
    resembling: set[str] = set()
    for keys, is_held_out in ((held_out, True), (train_only, False)):
        for key, sketch in _sketches(keys):
            own = character_pairs(key)
            for other in index.query(sketch):
                similarity = jaccard(own, character_pairs(other))
                if similarity < threshold or len(texts[key] | texts[other]) < 2:
                    continue
                pairs += 1
                resembling.add(other)
                if is_held_out:
                    resembling.add(key)
                heapq.heappush(best, (similarity, other, key))
                if len(best) > LISTED_PAIRS:
                    heapq.heappop(best)
            if is_held_out:
                index.insert(key, sketch, check_duplication=False)
    listed = []
    for similarity, held, other in sorted(best, key=lambda pair: (-pair[0], *pair[1:])):
        held_split, other_split = _two_splits(texts[held], texts[other])
        listed.append(NearDuplicate(similarity, shown[held], held_split, shown[other], other_split))
    return _Near(tuple(listed), pairs, len(resembling))


def _sketches(keys: list[str]) -> Iterator[tuple[str, Any]]:
    from datasketch import MinHash

    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        sets = [[pair.encode() for pair in character_pairs(key)] for key in batch]
        yield from zip(batch, MinHash.bulk(sets, num_perm=_PERMUTATIONS), strict=True)


def _two_splits(held: frozenset[Split], other: frozenset[Split]) -> tuple[Split, Split]:
    """One split of each, different ones, the first not training."""
    for held_split in _ordered(held - {Split.TRAIN}):
        for other_split in _ordered(other):
            if held_split is not other_split:
                return held_split, other_split
    return next(iter(held)), next(iter(other))


def _ordered(splits: Iterable[Split]) -> tuple[Split, ...]:
    found = set(splits)
    return tuple(split for split in Split if split in found)


def _message(what: str, leaks: tuple[CustomerLeak, ...] | tuple[TextLeak, ...]) -> str:
    named = ", ".join(str(leak) for leak in leaks[:_NAMED])
    more = f" and {len(leaks) - _NAMED} more" if len(leaks) > _NAMED else ""
    return f"{len(leaks)} {what} in two splits: {named}{more}"
