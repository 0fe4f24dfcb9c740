"""What lexicon, model and both together tell of labelled emotions, beside each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from persona_ray.conversation import Emotion
from persona_ray.evaluation.bootstrap import Estimate, draws
from persona_ray.evaluation.calibration import log_probabilities, reliability
from persona_ray.evaluation.paired import compare_paired
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.scores import Prediction, Scores, score_clips
from persona_ray.inference.assist.emotion.combine import whole_of
from persona_ray.inference.assist.emotion.distribution import likeliest, mixed, unknown
from persona_ray.inference.assist.emotion.model import keyword_text, without_sound
from persona_ray.inference.assist.emotion.reading import Reading, read

if TYPE_CHECKING:
    from persona_ray.inference.assist.emotion.combine import Reads
    from persona_ray.inference.assist.emotion.examples import Labelled
    from persona_ray.inference.assist.emotion.lexicon import Lexicon
    from persona_ray.inference.assist.records import Probabilities

LABELS = tuple(emotion.value for emotion in Emotion)
# Weights of the lexicon that are tried.
_STEPS = 100
LEXICON, MODEL, WORDS, FIXED, FITTED = "lexicon", "model", "words", "fixed", "fitted"


@dataclass(frozen=True, slots=True)
class Told:
    """What each part says of one labelled sentence or keyword."""

    of: Labelled
    lexicon: Probabilities
    model: Probabilities

    def combined(self, lexicon_weight: float) -> Probabilities:
        return mixed([(lexicon_weight, self.lexicon), (1 - lexicon_weight, self.model)])


class Source(Part):
    """How well a part or a combination does. `cross_entropy` in nats."""

    name: str
    scores: Scores
    cross_entropy: float
    calibration_error: float

    def f1(self, label: str) -> float | None:
        """Of one emotion; None where it is neither there nor told."""
        at = self.scores.labels.index(label)
        confusion = self.scores.confusion
        there, told = sum(confusion[at]), sum(row[at] for row in confusion)
        return 2 * confusion[at][at] / (there + told) if there + told else None


class Gain(Part):
    """What one source has more than another, by the same customers."""

    more: str
    less: str
    accuracy: Estimate
    macro_f1: Estimate


class Disagreement(Part):
    """Sentences of which lexicon and model tell different emotions; who is right."""

    lexicon: str
    model: str
    count: int
    lexicon_right: int
    model_right: int
    combined_right: int


class Judged(Part):
    """Sentences or keywords."""

    what: str
    sources: tuple[Source, ...]
    gains: tuple[Gain, ...]

    def source(self, name: str) -> Source:
        return next(source for source in self.sources if source.name == name)


class EmotionReport(Part):
    """`counts`: of each split. `weight` is the configured one of the lexicon, `fitted` that which
    the dev part asks for; `curve` is its cross entropy (second) at each weight (first).
    `keywords`: None where none is labelled. `disagreements`: of sentences, with the fitted weight,
    the most frequent first."""

    counts: dict[str, dict[str, int]]
    weight: float
    fitted: float
    curve: tuple[tuple[float, float], ...]
    sentences: Judged
    keywords: Judged | None
    disagreements: tuple[Disagreement, ...]
    lexicon: str
    data_fingerprint: str
    seconds: float


def told(
    rows: Sequence[Labelled], lexicon: Lexicon, model: Reads, sound: bool = True
) -> list[Told]:
    """By both parts, as `combine.MoodReader` has it; of a keyword that the lexicon does not know
    it says that it may be anything. Without `sound` the model is told nothing of it."""
    readings = [read(lexicon, row.said.text) for row in rows]
    texts: list[str] = []
    for row, reading in zip(rows, readings, strict=True):
        texts.append(row.read)
        if row.place is None:
            texts += [keyword_text(row.said, k.start, k.end) for k in reading.keywords]
    answers = iter(model.probabilities(texts if sound else [*map(without_sound, texts)]))
    found = []
    for row, reading in zip(rows, readings, strict=True):
        whole = next(answers)
        if row.place is None:
            whole = whole_of(whole, reading.keywords, [next(answers) for _ in reading.keywords])
        found.append(Told(row, _lexicon(row, reading), whole))
    return found


def _lexicon(row: Labelled, reading: Reading) -> Probabilities:
    if row.place is None:
        return reading.probabilities
    start, end = row.place
    inside = [one for one in reading.keywords if one.start < end and start < one.end]
    longest = max(inside, key=lambda one: min(one.end, end) - max(one.start, start), default=None)
    return unknown() if longest is None else longest.probabilities


def weight_curve(rows: Sequence[Told]) -> tuple[tuple[float, float], ...]:
    """Cross entropy at each weight of the lexicon, 0 to 1. Raises ValueError without rows."""
    import numpy as np

    if not rows:
        raise ValueError("a weight is fitted on one labelled sentence at least")
    lexicon = np.array([row.lexicon[row.of.emotion] for row in rows])
    model = np.array([row.model[row.of.emotion] for row in rows])
    weights = [step / _STEPS for step in range(_STEPS + 1)]
    return tuple(
        (w, float(-np.log(np.maximum(w * lexicon + (1 - w) * model, 1e-12)).mean()))
        for w in weights
    )


def fitted_weight(curve: Sequence[tuple[float, float]]) -> float:
    """The weight with the least cross entropy: a mixture's is convex in its weight, so that it is
    the only one (to a step of 0.01)."""
    return min(curve, key=lambda point: point[1])[0]


def judged(
    what: str,
    rows: Sequence[Told],
    words: Sequence[Told],
    weights: Mapping[str, float],
    resamples: int,
) -> Judged:
    """Every source, and what the combinations have more than the parts. `words`: the same, told by
    a model without sound; empty: there is none. `weights` of the lexicon: `FIXED`, `FITTED`."""
    said: dict[str, list[Probabilities]] = {
        LEXICON: [row.lexicon for row in rows],
        MODEL: [row.model for row in rows],
    }
    if words:
        said[WORDS] = [row.model for row in words]
    for name, weight in weights.items():
        said[name] = [row.combined(weight) for row in rows]
    scored = {name: predictions(rows, given) for name, given in said.items()}
    pairs = [(name, part) for name in weights for part in (LEXICON, MODEL)]
    pairs += [(MODEL, WORDS)] if words else []
    return Judged(
        what=what,
        sources=tuple(_source(name, given, resamples) for name, given in scored.items()),
        gains=tuple(
            _gain(more, less, scored[more], scored[less], resamples) for more, less in pairs
        ),
    )


def disagreements(rows: Sequence[Told], weight: float, most: int = 12) -> list[Disagreement]:
    """The `most` frequent pairs of different answers; texts are not among them."""
    counts: Counter[tuple[Emotion, Emotion]] = Counter()
    right: Counter[tuple[Emotion, Emotion, str]] = Counter()
    for row in rows:
        pair = likeliest(row.lexicon), likeliest(row.model)
        if pair[0] is pair[1]:
            continue
        counts[pair] += 1
        right[(*pair, LEXICON)] += pair[0] is row.of.emotion
        right[(*pair, MODEL)] += pair[1] is row.of.emotion
        right[(*pair, FITTED)] += likeliest(row.combined(weight)) is row.of.emotion
    return [
        Disagreement(
            lexicon=pair[0].value,
            model=pair[1].value,
            count=count,
            lexicon_right=right[(*pair, LEXICON)],
            model_right=right[(*pair, MODEL)],
            combined_right=right[(*pair, FITTED)],
        )
        for pair, count in counts.most_common(most)
    ]


def predictions(rows: Sequence[Told], said: Sequence[Probabilities]) -> list[Prediction]:
    """`said` of each of `rows`, as it is scored."""
    return [
        Prediction(
            row.of.id,
            row.of.customer,
            row.of.emotion.value,
            {emotion.value: given[emotion] for emotion in Emotion},
        )
        for row, given in zip(rows, said, strict=True)
    ]


def _source(name: str, said: Sequence[Prediction], resamples: int) -> Source:
    import numpy as np

    truth = np.array([LABELS.index(row.label) for row in said])
    trusted = reliability(
        log_probabilities(said, LABELS), truth, np.arange(len(said)), draws(len(said), resamples=0)
    )
    return Source(
        name=name,
        scores=score_clips(said, LABELS, resamples),
        cross_entropy=trusted.cross_entropy.value,
        calibration_error=trusted.ece.value,
    )


def _gain(
    more: str,
    less: str,
    better: Sequence[Prediction],
    worse: Sequence[Prediction],
    resamples: int,
) -> Gain:
    figures = {
        f.name: f.difference for f in compare_paired(worse, better, LABELS, resamples).figures
    }
    return Gain(
        more=more,
        less=less,
        accuracy=figures["clip accuracy"],
        macro_f1=figures["clip macro-F1"],
    )
