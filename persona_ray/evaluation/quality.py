"""Planted truth against the corpus: how well calls were recognised, cut and set aside.

Clips and utterances meet by overlap in time. Characters are compared over the whole call, so that
a sentence cut in the wrong place is a cut error and not a recognition error as well.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.evaluation.matching import CallComparison, compare_call
from persona_ray.evaluation.numerals import spoken
from persona_ray.evaluation.part import Part

if TYPE_CHECKING:
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.corpus.records import CallOutcome
    from persona_ray.synth.truth import TruthCall, TruthUtterance
    from persona_ray.types import ClipInfo

# What the corpus flags and the dirt it stands for.
FLAGGED_DIRT = {
    "channel_swapped": "swapped_channels",
    "converted_rate": "flac_16k",
    "mulaw": "mulaw_wav",
}
_HISTOGRAM_MS = (-1000, 1000, 50)
# Of one call in `CallComparison`, of all in `Quality`.
_COUNTS = tuple(field.name for field in fields(CallComparison) if field.name != "border_errors_ms")


class Found(Part):
    """Of `planted` things `found` were reported, `right` of them justly."""

    name: str
    planted: int
    found: int
    right: int

    @property
    def precision(self) -> float | None:
        """None where nothing was reported."""
        return self.right / self.found if self.found else None

    @property
    def recall(self) -> float | None:
        """None where nothing was planted."""
        return self.right / self.planted if self.planted else None


class CutErrors(Part):
    """Distance between the borders of clips and of the utterances that they hold.

    `median_ms` and `p90_ms` are of absolute errors. In the histogram (bins between `edges_ms`,
    the outer ones open) a positive error leaves silence in the clip and a negative one cuts into
    speech; `pad_ms` is the silence that the cutter leaves on purpose. `into_speech` is the share of
    borders that lose more than 50 ms of speech.
    """

    borders: int
    median_ms: float
    p90_ms: float
    into_speech: float
    pad_ms: float
    edges_ms: tuple[float, ...]
    counts: tuple[int, ...]


class Quality(Part):
    """Figures of a corpus against its planted truth.

    Recognition: characters after normalisation, over the utterances that clips cover.
    `placed` of `aligned` recognised characters stand in the clip of their own utterance.
    Utterances: those of at least the configured length, in all calls that should be usable.
    """

    calls: int
    calls_absent: int
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
    cut: CutErrors | None
    quarantine: Found
    quarantine_reasons: tuple[Found, ...]
    flags: tuple[Found, ...]

    @property
    def character_error_rate(self) -> float | None:
        """None where nothing was compared."""
        if not self.reference_characters:
            return None
        wrong = self.substitutions + self.insertions + self.deletions
        return wrong / self.reference_characters

    @property
    def placed_share(self) -> float | None:
        return self.placed / self.aligned if self.aligned else None

    @property
    def utterance_recall(self) -> float | None:
        return self.utterances_found / self.utterances if self.utterances else None


def measure_quality(truth: Path, dataset: CorpusDataset, min_chars: int, pad_s: float) -> Quality:
    """Compare `dataset` with the planted truth of the synthetic archive it was built from.

    `truth` is the archive's folder or the folder `truth` in it; `min_chars` and `pad_s` are those
    that clips were cut with. Raises ArchiveError where there is no truth.
    """
    from persona_ray.synth.truth import read_calls, read_utterances

    archive = truth.parent if truth.name == "truth" else truth
    return compare(
        read_calls(archive),
        read_utterances(archive),
        list(dataset.calls()),
        dataset.infos(),
        said,
        min_chars,
        pad_s,
    )


def said(text: str) -> str:
    """The characters that are compared: numerals as spoken, no punctuation."""
    from persona_ray.asr.text import normalise

    return normalise(spoken(text))


def compare(
    calls: Sequence[TruthCall],
    utterances: Iterable[TruthUtterance],
    outcomes: Sequence[CallOutcome],
    clips: Iterable[ClipInfo],
    normalise: Callable[[str], str],
    min_chars: int,
    pad_s: float,
) -> Quality:
    """The same on records; `normalise` gives the characters of a text that are compared.

    Calls that the corpus has not seen are counted and left out.
    """
    outcome_of = {outcome.call_id: outcome for outcome in outcomes}
    utterances_of: dict[str, list[TruthUtterance]] = defaultdict(list)
    for utterance in utterances:
        utterances_of[utterance.call_id].append(utterance)
    clips_of: dict[str, list[ClipInfo]] = defaultdict(list)
    for clip in clips:
        clips_of[clip.call_id].append(clip)
    seen = [call for call in calls if call.call_id in outcome_of]
    usable = [call for call in seen if call.expected == "ok"]
    compared = [
        compare_call(utterances_of[call.call_id], clips_of[call.call_id], normalise, min_chars)
        for call in usable
    ]
    pairs = [(call, outcome_of[call.call_id]) for call in seen]
    sums = {name: sum(getattr(call, name) for call in compared) for name in _COUNTS}
    return Quality(
        calls=len(usable),
        calls_absent=len(calls) - len(seen),
        **sums,
        cut=_cut_errors([ms for call in compared for ms in call.border_errors_ms], pad_s * 1000),
        quarantine=_quarantine(pairs),
        quarantine_reasons=_by_reason(pairs),
        flags=_flags(pairs),
    )


_Pairs = Sequence[tuple["TruthCall", "CallOutcome"]]


def _quarantine(pairs: _Pairs) -> Found:
    planted = [call.expected != "ok" for call, _ in pairs]
    return _found("all", planted, [outcome.reason is not None for _, outcome in pairs])


def _by_reason(pairs: _Pairs) -> tuple[Found, ...]:
    planted = [call.expected_reason for call, _ in pairs]
    given = [outcome.reason.value if outcome.reason else None for _, outcome in pairs]
    return tuple(
        _found(reason, [name == reason for name in planted], [name == reason for name in given])
        for reason in sorted({name for name in (*planted, *given) if name})
    )


def _flags(pairs: _Pairs) -> tuple[Found, ...]:
    usable = [(call, outcome) for call, outcome in pairs if outcome.reason is None]
    return tuple(
        _found(
            flag,
            [dirt in call.dirt for call, _ in usable],
            [flag in outcome.flags for _, outcome in usable],
        )
        for flag, dirt in FLAGGED_DIRT.items()
    )


def _found(name: str, planted: Sequence[bool], found: Sequence[bool]) -> Found:
    right = sum(a and b for a, b in zip(planted, found, strict=True))
    return Found(name=name, planted=sum(planted), found=sum(found), right=right)


def _cut_errors(errors_ms: Sequence[float], pad_ms: float) -> CutErrors | None:
    import numpy as np

    if not errors_ms:
        return None
    errors = np.array(errors_ms)
    first, last, step = _HISTOGRAM_MS
    edges = np.arange(first, last + step, step)
    counts, _ = np.histogram(np.clip(errors, first, last), bins=edges)
    return CutErrors(
        borders=len(errors),
        median_ms=float(np.median(np.abs(errors))),
        p90_ms=float(np.quantile(np.abs(errors), 0.9)),
        into_speech=float(np.mean(errors < -50)),
        pad_ms=pad_ms,
        edges_ms=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
    )
