"""What n-grams alone make of the invented dialogues: macro-F1 over all categories after each turn
of the caller (character 1-3-gram TF-IDF, logistic regression), by what is held out.

    python -m benchmarks.dialogue_baseline
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, f1_score
from sklearn.pipeline import make_pipeline

from benchmarks.shared import described
from persona_ray.synth.dialogues.composing import CALLER, CallDialogue, compose
from persona_ray.synth.dialogues.scenes import Part, load_scenes

_MOST = 4
_SHOWN = 6


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--train", type=int, default=5400)
    parser.add_argument("--test", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    texts = load_scenes()
    print(f"{len(texts.categories)} categories, {len(texts.scenes)} scenes")
    both = list(compose(arguments.train + arguments.test, arguments.seed))
    _measure("dialogues alone", both[: arguments.train], both[arguments.train :])
    train = list(compose(arguments.train, arguments.seed, Part.TRAIN))
    test = list(compose(arguments.test, arguments.seed, Part.TEST))
    model = _measure("wordings, too", train, test)
    _confusions(model, test)


def _measure(name: str, train: Sequence[CallDialogue], test: Sequence[CallDialogue]) -> Any:
    """Trained on every beginning of each dialogue, asked after each turn of those that go on."""
    begun = time.perf_counter()
    beginnings = [(_heard(d, k), d.category) for d in train for k in range(1, _turns(d) + 1)]
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2),
        LogisticRegression(C=10, max_iter=300),
    )
    model.fit(*zip(*beginnings, strict=True))
    print(f"held out: {name} ({len(train)} to train, {time.perf_counter() - begun:.0f} s)")
    for turns in range(1, _MOST + 1):
        asked = [d for d in test if _turns(d) >= turns]
        found = model.predict([_heard(d, turns) for d in asked])
        score = f1_score([d.category for d in asked], found, average="macro")
        print(f"  after turn {turns}: macro-F1 {score:.3f} ({len(asked)} dialogues)")
    found = model.predict([_heard(d, _MOST) for d in test])
    score = f1_score([d.category for d in test], found, average="macro")
    print(f"  all turns: macro-F1 {score:.3f} ({len(test)} dialogues)")
    return model


def _confusions(model: Any, test: Sequence[CallDialogue]) -> None:
    truth = [d.category for d in test]
    table = confusion_matrix(truth, model.predict([_heard(d, _MOST) for d in test]))
    names = sorted(set(truth))
    wrong = [
        (int(table[i, j]), names[i], names[j])
        for i in range(len(names))
        for j in range(len(names))
        if i != j
    ]
    for count, true, found in sorted(wrong, reverse=True)[:_SHOWN]:
        print(f"  {true} taken for {found}: {count}")


def _turns(dialogue: CallDialogue) -> int:
    return sum(turn.speaker == CALLER for turn in dialogue.turns)


def _heard(dialogue: CallDialogue, turns: int) -> str:
    """The caller's first `turns` turns."""
    return "\n".join([turn.text for turn in dialogue.turns if turn.speaker == CALLER][:turns])


if __name__ == "__main__":
    main()
