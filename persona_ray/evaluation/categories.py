"""How well calls are told apart by what the caller has said so far, turn after turn.

The same dialogues are judged after each number of turns; one that is shorter is judged by all it
has. Beside it stands the plainest model there is: character 1-3-gram TF-IDF with logistic
regression, trained on the same dialogues.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from persona_ray.corpus.dialogues import Dialogue, prefix
from persona_ray.evaluation.bootstrap import draws
from persona_ray.evaluation.calibration import log_probabilities, reliability
from persona_ray.evaluation.part import Part
from persona_ray.evaluation.scores import Prediction, Scores, score_clips
from persona_ray.types import Example, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# All of a dialogue's turns.
ALL = 0
# Turns that are looked at one by one; few dialogues have more.
SHOWN = (1, 2, 3, 4, 5, ALL)
# A judgement with this probability is sure.
SURE = 0.9
# Log-odds beyond this are no evidence but rounding.
_WIDEST = 14.0

# By texts, one a dialogue, the probabilities of each.
Answers = Callable[[Sequence[str]], Sequence[Mapping[str, float]]]


class AfterTurns(Part):
    """After so many turns of the caller (0: all). `sure`: share of dialogues whose category has a
    probability of 0.9 or more, of which `sure_right` are right (None of none)."""

    turns: int
    scores: Scores
    cross_entropy: float
    calibration_error: float
    sure: float
    sure_right: float | None


class Baseline(Part):
    """Character n-grams with logistic regression: trained and judged on `reads`."""

    reads: str
    turns: int
    scores: Scores


class CategoryReport(Part):
    """`counts`: dialogues of each split. `turn_evidence`: spread of what a turn adds to the
    log-odds of a fraud, for `screening.policy.turn_evidence`; None where no category is illegal or
    all are."""

    labels: tuple[str, ...]
    counts: dict[str, int]
    after: tuple[AfterTurns, ...]
    baselines: tuple[Baseline, ...]
    turn_evidence: float | None
    data_fingerprint: str
    seconds: float

    def at(self, turns: int) -> AfterTurns:
        return next(row for row in self.after if row.turns == turns)


def after_turns(
    dialogues: Sequence[Dialogue],
    answers: Answers,
    labels: Sequence[str],
    shown: Sequence[int] = SHOWN,
    resamples: int = 1000,
) -> list[AfterTurns]:
    """One row for each number of turns in `shown`. Raises ValueError without dialogues."""
    return [
        _row(turns, predictions(dialogues, answers, turns), labels, resamples) for turns in shown
    ]


def predictions(dialogues: Sequence[Dialogue], answers: Answers, turns: int) -> list[Prediction]:
    """What `answers` says of each dialogue after so many turns of the caller (0: all)."""
    examples = [example_of(dialogue, turns) for dialogue in dialogues]
    given = answers([example.text for example in examples])
    return [
        Prediction(example.clip_id, example.customer_id, example.label, probabilities)
        for example, probabilities in zip(examples, given, strict=True)
    ]


def example_of(dialogue: Dialogue, turns: int, split: Split = Split.TEST) -> Example:
    return prefix(dialogue, turns or len(dialogue.caller), split)


def baselines(
    train: Sequence[Dialogue], test: Sequence[Dialogue], labels: Sequence[str], resamples: int = 0
) -> list[Baseline]:
    """On what the caller says first, and on all turns of both sides."""
    reads: dict[str, tuple[int, Callable[[Dialogue], str]]] = {
        "caller's first turn": (1, lambda dialogue: dialogue.caller[0]),
        "all turns of both": (
            ALL,
            lambda dialogue: "\n".join(turn.text for turn in dialogue.turns),
        ),
    }
    found = []
    for name, (turns, text) in reads.items():
        rows = _regression([(text(d), d.category) for d in train], [text(d) for d in test])
        said = [
            Prediction(d.id, d.id, d.category, {name: row.get(name, 0.0) for name in labels})
            for d, row in zip(test, rows, strict=True)
        ]
        scores = score_clips(said, labels, resamples)
        found.append(Baseline(reads=name, turns=turns, scores=scores))
    return found


def turn_evidence(
    dialogues: Sequence[Dialogue], answers: Answers, illegal: frozenset[str], most: int = 5
) -> float | None:
    """Standard deviation of what the second to the `most`-th turn adds to the log-odds of an
    illegal category, over all dialogues that have it."""
    kinds = {dialogue.category in illegal for dialogue in dialogues}
    if kinds != {True, False}:
        return None
    before: dict[str, float] = {}
    added: list[float] = []
    for turns in range(1, most + 1):
        long = [dialogue for dialogue in dialogues if len(dialogue.caller) >= turns]
        if not long:
            break
        now = {
            said.customer_id: _log_odds(sum(said.probabilities.get(name, 0.0) for name in illegal))
            for said in predictions(long, answers, turns)
        }
        added += [now[one] - before[one] for one in now if one in before]
        before = now
    if len(added) < 2:
        return None
    mean = sum(added) / len(added)
    return math.sqrt(sum((value - mean) ** 2 for value in added) / (len(added) - 1))


def _row(
    turns: int, said: Sequence[Prediction], labels: Sequence[str], resamples: int
) -> AfterTurns:
    import numpy as np

    index = {label: at for at, label in enumerate(labels)}
    matrix = np.array([[p.probabilities[label] for label in labels] for p in said])
    truth = np.array([index[p.label] for p in said])
    right = matrix.argmax(axis=1) == truth
    sure = matrix.max(axis=1) >= SURE
    alone = np.arange(len(said))
    trusted = reliability(
        log_probabilities(said, labels), truth, alone, draws(len(said), resamples=0)
    )
    return AfterTurns(
        turns=turns,
        scores=score_clips(said, labels, resamples),
        cross_entropy=trusted.cross_entropy.value,
        calibration_error=trusted.ece.value,
        sure=float(sure.mean()),
        sure_right=float(right[sure].mean()) if sure.any() else None,
    )


def _regression(train: Sequence[tuple[str, str]], test: Sequence[str]) -> list[dict[str, float]]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    learned = grams.fit_transform([text for text, _ in train])
    regression = LogisticRegression(C=10.0, max_iter=200)
    regression.fit(learned, [label for _, label in train])
    rows: NDArray[np.float64] = regression.predict_proba(grams.transform(test))
    names = [str(name) for name in regression.classes_]
    return [dict(zip(names, row.tolist(), strict=True)) for row in rows]


def _log_odds(probability: float) -> float:
    inside = min(max(probability, 1e-6), 1 - 1e-6)
    return max(-_WIDEST, min(_WIDEST, math.log(inside) - math.log1p(-inside)))
