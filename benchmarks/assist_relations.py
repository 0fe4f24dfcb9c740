"""How well rules tell how a customer's sentence follows from the last turns, on planted calls.

persona-ray synth conversations --out test.jsonl.gz --count 600 --seed 11 --part test
python -m benchmarks.assist_relations test.jsonl.gz
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.shared import described
from persona_ray.conversation import Relation, Speaker, Tone
from persona_ray.corpus.conversations import Conversation, read_conversations
from persona_ray.inference.assist.records import Sentence
from persona_ray.inference.assist.relations import asks, relation_of, shipped_words

Pair = tuple[Relation, Relation]


def judged(conversation: Conversation) -> Iterator[tuple[Pair, str, list[Sentence]]]:
    """(planted, told) of each customer's turn, with the turn and what was said before it."""
    before: list[Sentence] = []
    for at, turn in enumerate(conversation.turns):
        if turn.speaker is Speaker.CUSTOMER and turn.relation is not None:
            yield (turn.relation, relation_of(turn.text, before)), turn.text, list(before)
        before.append(Sentence(turn.speaker, turn.text, float(at), at + 0.9, Tone()))


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("files", type=Path, nargs="+", help="planted calls")
    parser.add_argument("--wrong", type=int, default=0, help="show so many mistakes of each kind")
    parser.add_argument("--learn", type=Path, help="planted calls to train a comparison on")
    arguments = parser.parse_args()
    pairs: Counter[Pair] = Counter()
    mistakes: dict[Pair, list[str]] = {}
    for conversation in read_conversations(arguments.files):
        for pair, text, before in judged(conversation):
            pairs[pair] += 1
            if pair[0] is not pair[1]:
                last = before[-1].text if before else ""
                mistakes.setdefault(pair, []).append(f"{last} | {text}")
    _print(pairs)
    if arguments.learn:
        print("\nlearned from n-grams:")
        _print(_learned([arguments.learn], arguments.files))
    for pair, texts in sorted(mistakes.items(), key=lambda item: -len(item[1])):
        if arguments.wrong:
            print(f"\n{pair[0]} taken for {pair[1]}: {len(texts)}")
            print("\n".join(f"  {text}" for text in dict.fromkeys(texts[: arguments.wrong])))


def _learned(train: list[Path], test: list[Path]) -> Counter[Pair]:
    import numpy as np
    from scipy import sparse
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = []
    for files in (train, test):
        turns = [turn for one in read_conversations(files) for turn in judged(one)]
        asked = [bool(before) and asks(before[-1].text, shipped_words()) for _, _, before in turns]
        rows.append(([t for _, t, _ in turns], [p[0].value for p, _, _ in turns], asked))
    (texts, planted, asked), (unseen, truth, unseen_asked) = rows
    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True, min_df=2)
    known = sparse.hstack([grams.fit_transform(texts), np.array(asked, dtype=float)[:, None]])
    model = LogisticRegression(C=5, max_iter=1000, class_weight="balanced").fit(known, planted)
    told = model.predict(
        sparse.hstack([grams.transform(unseen), np.array(unseen_asked, dtype=float)[:, None]])
    )
    return Counter((Relation(one), Relation(other)) for one, other in zip(truth, told, strict=True))


def _print(pairs: Counter[Pair]) -> None:
    scores = []
    print("| relation | turns | precision | recall | F1 |\n|---|---|---|---|---|")
    for relation in Relation:
        planted = sum(count for pair, count in pairs.items() if pair[0] is relation)
        told = sum(count for pair, count in pairs.items() if pair[1] is relation)
        right = pairs[relation, relation]
        if not planted:
            continue
        precision, recall = right / max(told, 1), right / planted
        scores.append(2 * right / (planted + told))
        print(f"| {relation} | {planted} | {precision:.3f} | {recall:.3f} | {scores[-1]:.3f} |")
    right, turns = sum(pairs[one, one] for one in Relation), pairs.total()
    most = max(sum(count for pair, count in pairs.items() if pair[0] is one) for one in Relation)
    print(f"\nmacro-F1 {sum(scores) / len(scores):.3f}, accuracy {right / turns:.3f} of {turns}")
    print(f"always the commonest relation: accuracy {most / turns:.3f}")


if __name__ == "__main__":
    main()
