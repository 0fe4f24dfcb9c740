"""What a run over the archive saw, against what the model was trained and evaluated on."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.audio.sound import Sound, sound_of
from persona_ray.types import CallStatus, QuarantineReason, Recognition
from persona_ray.watch import catalogue
from persona_ray.watch.drift import LEAST, NamedShares, Population, stability_index
from persona_ray.watch.reference import TRAINING

if TYPE_CHECKING:
    from persona_ray.inference.calls import Piece
    from persona_ray.inference.clips import SentenceRecognition
    from persona_ray.launch.archive.summary import ArchiveSummary
    from persona_ray.launch.archive.tables import CallAnswer
    from persona_ray.launch.evaluated import References
    from persona_ray.watch.instruments import Instrument

_OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class SeenSentence:
    """Of one sentence. `colour` empty: it has none; `characters_per_s` NaN: it was not read."""

    colour: str
    confidence: float
    sound: Sound
    characters_per_s: float


@dataclass(frozen=True, slots=True)
class KindOfDrift:
    """`index`: population stability index against `against`."""

    kind: str
    against: str
    index: float


def seen_of(
    pieces: Sequence[Piece], sentences: Sequence[SentenceRecognition]
) -> tuple[SeenSentence, ...]:
    """Of the sentences of one call."""
    return tuple(map(_seen, pieces, sentences))


def outcome_of(answer: CallAnswer) -> str:
    """ok, nothing_usable, or why the call was set aside."""
    call = answer.call
    return call.status.value if call.reason is None else call.reason.value


def outcome_counts(summary: ArchiveSummary) -> dict[str, int]:
    """Calls by `outcome_of`."""
    reasons = dict(summary.calls_by_reason)
    unusable = summary.calls_by_status.get(CallStatus.NOTHING_USABLE, 0)
    return {
        CallStatus.OK.value: summary.calls_by_status.get(CallStatus.OK, 0),
        # Silence is no fault of the call, and yet has a reason.
        CallStatus.NOTHING_USABLE.value: unusable - reasons.get(QuarantineReason.SILENT, 0),
        **reasons,
    }


class Seen:
    """Of one run, by a model whose references are these."""

    def __init__(self, digest: str, references: References) -> None:
        self._digest = digest
        self._references = references
        self._population = Population(lambda _: references.kinds, window=None)
        self._outcomes: Counter[str] = Counter()

    def call(self, outcome: str, sentences: Sequence[SeenSentence]) -> None:
        """What became of one call."""
        self._outcomes[outcome] += 1
        for one in sentences:
            self._see(catalogue.LEVEL_DRIFT, one.sound.level_dbfs)
            self._see(catalogue.SILENCE_DRIFT, one.sound.silence)
            self._see(catalogue.CLIPPING_DRIFT, one.sound.clipping)
            if not math.isnan(one.characters_per_s):
                self._see(catalogue.SPEECH_RATE_DRIFT, one.characters_per_s)
            if one.colour:
                self._see(catalogue.COLOUR_DRIFT, one.colour)
                self._see(catalogue.CONFIDENCE_DRIFT, one.confidence)

    def drift(self) -> tuple[KindOfDrift, ...]:
        """Of every kind that there is a reference of, and enough was seen of."""
        return tuple(self._kinds())

    def _kinds(self) -> Iterator[KindOfDrift]:
        for instrument, against, index in self._population.told():
            kind = instrument.name.removeprefix("persona_").removesuffix("_drift")
            yield KindOfDrift(kind, against, round(index, 4))
        expected = self._references.outcomes
        if expected and self._outcomes.total() >= LEAST:
            index = _named(expected, self._outcomes)
            yield KindOfDrift(_OUTCOME, TRAINING, round(index, 4))

    def _see(self, kind: Instrument, value: float | str) -> None:
        self._population.see(kind, value, self._digest)


def _named(expected: Mapping[str, float], found: Mapping[str, int]) -> float:
    shares = NamedShares(expected)
    counts: Counter[int] = Counter()
    for name, count in found.items():
        counts[shares.number(name)] += count
    return stability_index(shares.shares, counts)


def _seen(piece: Piece, sentence: SentenceRecognition) -> SeenSentence:
    result = sentence.result
    colour, confidence, rate = "", math.nan, math.nan
    if isinstance(result, Recognition):
        colour, confidence = result.primary, result.probabilities[result.primary]
    if piece.text is not None and len(piece.samples):
        rate = len(piece.text) * piece.sample_rate_hz / len(piece.samples)
    return SeenSentence(colour, confidence, sound_of(piece.samples, piece.sample_rate_hz), rate)
