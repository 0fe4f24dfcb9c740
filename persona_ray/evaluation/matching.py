"""One call's clips against what was said in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.synth.truth import TruthUtterance
    from persona_ray.types import ClipInfo

# An utterance with this share of its time inside clips is in the corpus.
COVERED = 0.5


@dataclass(frozen=True, slots=True)
class CallComparison:
    """Counts of one call; see `Quality` for what they mean.

    `border_errors_ms` has two entries, start and end, for each clip that has an utterance; positive
    where the clip reaches beyond it.
    """

    reference_characters: int
    substitutions: int
    insertions: int
    deletions: int
    aligned: int
    placed: int
    clips: int
    clips_of_wrong_speaker: int
    clips_of_nobody: int
    utterances: int
    utterances_found: int
    fillers: int
    fillers_kept: int
    border_errors_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CharacterAlignment:
    """Edit counts, and pairs (reference, hypothesis) of indices of equal or replaced characters."""

    substitutions: int
    insertions: int
    deletions: int
    pairs: tuple[tuple[int, int], ...]


def compare_call(
    utterances: Sequence[TruthUtterance],
    clips: Sequence[ClipInfo],
    normalise: Callable[[str], str],
    min_chars: int,
) -> CallComparison:
    """Compare the clips of one call with all its utterances, the agent's included."""
    speakers = [_speaker(clip, utterances) for clip in clips]
    own = sorted(
        (clip for clip, speaker in zip(clips, speakers, strict=True) if speaker == "customer"),
        key=lambda clip: clip.start_s,
    )
    customer = sorted(
        (utterance for utterance in utterances if utterance.speaker == "customer"),
        key=lambda utterance: utterance.start_s,
    )
    covered = [_coverage(utterance, own) >= COVERED for utterance in customer]
    is_long = [len(normalise(utterance.text)) >= min_chars for utterance in customer]
    # Clip index by utterance index: the two that overlap each other most.
    pairs = pair_by_overlap(customer, own)
    reference = [
        (character, index)
        for index, utterance in enumerate(customer)
        if covered[index]
        for character in normalise(utterance.text)
    ]
    hypothesis = [
        (character, index) for index, clip in enumerate(own) for character in normalise(clip.text)
    ]
    alignment = align_characters(
        "".join(character for character, _ in reference),
        "".join(character for character, _ in hypothesis),
    )
    placed = sum(pairs.get(reference[i][1]) == hypothesis[j][1] for i, j in alignment.pairs)
    errors: list[float] = []
    for said, cut in pairs.items():
        errors.append(1000 * (customer[said].start_s - own[cut].start_s))
        errors.append(1000 * (own[cut].end_s - customer[said].end_s))
    return CallComparison(
        reference_characters=len(reference),
        substitutions=alignment.substitutions,
        insertions=alignment.insertions,
        deletions=alignment.deletions,
        aligned=len(alignment.pairs),
        placed=placed,
        clips=len(clips),
        clips_of_wrong_speaker=speakers.count("agent"),
        clips_of_nobody=speakers.count(""),
        utterances=sum(is_long),
        utterances_found=sum(a and b for a, b in zip(is_long, covered, strict=True)),
        fillers=len(is_long) - sum(is_long),
        fillers_kept=sum(b and not a for a, b in zip(is_long, covered, strict=True)),
        border_errors_ms=tuple(errors),
    )


def pair_by_overlap(
    utterances: Sequence[TruthUtterance], clips: Sequence[ClipInfo]
) -> Mapping[int, int]:
    """Clip index by utterance index, for pairs that overlap each other more than anything else.

    A clip that swallowed two utterances belongs to the longer part; of an utterance cut in two
    the longer piece is its clip.
    """
    shared = [[_shared_s(utterance, clip) for clip in clips] for utterance in utterances]
    pairs = {}
    for said, row in enumerate(shared):
        best = max(range(len(clips)), key=lambda cut: row[cut], default=-1)
        if best < 0 or row[best] <= 0:
            continue
        if all(shared[other][best] < row[best] for other in range(said)) and all(
            shared[other][best] <= row[best] for other in range(said + 1, len(shared))
        ):
            pairs[said] = best
    return pairs


def align_characters(reference: str, hypothesis: str) -> CharacterAlignment:
    """The Levenshtein alignment of two texts without spaces."""
    import jiwer

    if not reference or not hypothesis:
        return CharacterAlignment(0, len(hypothesis), len(reference), ())
    result = jiwer.process_characters(reference, hypothesis)
    pairs = tuple(
        (chunk.ref_start_idx + k, chunk.hyp_start_idx + k)
        for chunk in result.alignments[0]
        if chunk.type in ("equal", "substitute")
        for k in range(chunk.ref_end_idx - chunk.ref_start_idx)
    )
    return CharacterAlignment(result.substitutions, result.insertions, result.deletions, pairs)


def _speaker(clip: ClipInfo, utterances: Sequence[TruthUtterance]) -> str:
    """Who speaks most in the clip's time on the clip's channel; empty where nobody does."""
    time_s: dict[str, float] = {}
    for utterance in utterances:
        if utterance.channel == clip.channel and (shared := _shared_s(utterance, clip)) > 0:
            time_s[utterance.speaker] = time_s.get(utterance.speaker, 0.0) + shared
    return max(time_s, key=lambda speaker: time_s[speaker], default="")


def _coverage(utterance: TruthUtterance, clips: Sequence[ClipInfo]) -> float:
    """Share of the utterance's time inside clips, which do not overlap each other but for pads."""
    covered_s, reached_s = 0.0, utterance.start_s
    for clip in clips:
        start_s = max(clip.start_s, reached_s)
        end_s = min(clip.end_s, utterance.end_s)
        if end_s > start_s:
            covered_s += end_s - start_s
            reached_s = end_s
    length_s = utterance.end_s - utterance.start_s
    return covered_s / length_s if length_s > 0 else 0.0


def _shared_s(utterance: TruthUtterance, clip: ClipInfo) -> float:
    return min(utterance.end_s, clip.end_s) - max(utterance.start_s, clip.start_s)
