"""How far the categories of dialogues can be told apart at all, by n-grams on the training part.

    python -m benchmarks.category_ceiling --dialogues runs/teleantifraud.jsonl.gz

The dialogues that the category model is judged by are left out. Categories that a linear model on
the caller's first turn takes for others are looked at alone, by 5-fold cross-validation: what each
field tells, how much more dialogues give, and how often the nearest other opening has another
category, which bounds what any model can reach (Cover and Hart 1967: with nearest-neighbour error
e, K labels, at best 1 - (K-1)/K (1 - sqrt(1 - K e / (K-1))) are right).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.shared import arguments
from persona_ray.config import load_config
from persona_ray.corpus.dialogues import Dialogue, Side, deal, read_dialogues
from persona_ray.types import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
# A category whose F1 is below this is mixed up with others.
MIXED = 0.9
NEAR = (0.5, 0.6, 0.7, 0.8)
SHARES = (0.25, 0.5, 1.0)


def fields(dialogue: Dialogue) -> dict[str, str]:
    callee = [turn.text for turn in dialogue.turns if turn.speaker is Side.CALLEE]
    return {
        "the caller's first turn": dialogue.caller[0],
        "the caller's other turns": "\n".join(dialogue.caller[1:]),
        "the callee's turns": "\n".join(callee),
    }


def weighed(texts: Sequence[str], longest: int) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, longest), sublinear_tf=True, min_df=3)
    return grams.fit_transform(texts)


def answers(rows: Any, truth: NDArray[np.int64], share: float = 1.0) -> NDArray[np.float64]:
    """Log-probabilities of each row by a model that has not seen its fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(truth), truth.max() + 1))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    for learned, asked in folds.split(np.zeros(len(truth)), truth):
        some = np.random.default_rng(0).permutation(learned)[: int(len(learned) * share)]
        model = LogisticRegression(C=2.0, tol=1e-3, max_iter=100).fit(rows[some], truth[some])
        found[asked] = model.predict_log_proba(rows[asked])
    return found


def f1_of(truth: NDArray[np.int64], logits: NDArray[np.float64]) -> NDArray[np.float64]:
    from sklearn.metrics import f1_score

    each: NDArray[np.float64] = f1_score(truth, logits.argmax(axis=1), average=None)
    return each


def told(found: Sequence[Dialogue]) -> Iterator[str]:
    labels = sorted({dialogue.category for dialogue in found})
    truth = np.array([labels.index(dialogue.category) for dialogue in found])
    rows = weighed([dialogue.caller[0] for dialogue in found], 3)
    each = f1_of(truth, answers(rows, truth))
    mixed = [label for label, value in zip(labels, each, strict=True) if value < MIXED]
    clear = [float(value) for value in each if value >= MIXED]
    yield f"{len(found)} dialogues, {len(labels)} categories, first turn: {each.mean():.3f}"
    yield f"{len(clear)} categories have F1 {min(clear):.3f} or more; mixed up: {', '.join(mixed)}"
    some = [dialogue for dialogue in found if dialogue.category in mixed]
    at = np.array([mixed.index(dialogue.category) for dialogue in some])
    yield f"{len(some)} dialogues of these {len(mixed)} (macro-F1; chance {1 / len(mixed):.2f}):"

    def shown(name: str, logits: NDArray[np.float64]) -> str:
        value = float(f1_of(at, logits).mean())
        whole = (sum(clear) + len(mixed) * value) / len(labels)
        return f"  {name:44}{value:.3f}, of all {len(labels)}: {whole:.3f}"

    said = [fields(dialogue) for dialogue in some]
    by_field: dict[str, NDArray[np.float64]] = {}
    for name, longest in zip(said[0], (4, 3, 2), strict=True):
        by_field[name] = answers(weighed([row[name] for row in said], longest), at)
        yield shown(name, by_field[name])
    first, later, _ = by_field.values()
    yield shown("the caller's, log-probabilities added", first + 0.7 * later)
    openings = weighed([dialogue.caller[0] for dialogue in some], 4)
    for share in SHARES:
        count = int(len(some) * (1 - 1 / FOLDS) * share)
        yield shown(f"first turn, {count} dialogues to learn from", answers(openings, at, share))
    yield from neighbours(openings, at, len(mixed))


def neighbours(rows: Any, truth: NDArray[np.int64], labels: int) -> Iterator[str]:
    alike = (rows @ rows.T).toarray()
    np.fill_diagonal(alike, 0)
    nearest, likeness = alike.argmax(axis=1), alike.max(axis=1)
    for near in NEAR:
        chosen = likeness >= near
        error = float((truth[chosen] != truth[nearest[chosen]]).mean())
        inside = max(0.0, 1 - labels / (labels - 1) * error)
        best = 1 - (labels - 1) / labels * (1 - math.sqrt(inside))
        yield (
            f"  nearest opening at {near:.1f} or nearer: {int(chosen.sum())} dialogues, another "
            f"category {error:.1%}: at best {best:.1%} right"
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--dialogues", type=Path, default=Path("runs/teleantifraud.jsonl.gz"))
    chosen = parser.parse_args()
    section = load_config(chosen.config, chosen.overrides).screening.category
    found = read_dialogues([chosen.dialogues])
    splits = deal(found, section.test, section.dev, section.salt)
    print(*told([d for d in found if splits[d.id] is not Split.TEST]), sep="\n")


if __name__ == "__main__":
    main()
