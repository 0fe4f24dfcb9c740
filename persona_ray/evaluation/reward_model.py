"""What a script may be expected to earn after a sentence: a model of rewards.

Linear, over crosses of what is known of the sentence with what is known of the script, hashed
(Weinberger et al. 2009): a logistic regression for rewards of 0 and 1, a ridge regression else. It
is no ranker: it must be right on average, so that estimates rest less on importance weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from persona_ray.asr.text import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from persona_ray.conversation import Script
    from persona_ray.inference.assist.records import SpeechInformation

    Floats = NDArray[np.float64]

_COLUMNS = 2**15
# A mood or colour of smaller probability says nothing.
_LIKELY = 0.1
# Inverse strength of the regularisation: with 0.1 what is told is what happens on simulated calls
# (benchmarks/assist_loop.py), with 1.0 it is too sure.
_FREE = 0.1
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Tried:
    """A script that was put before an agent, and what it earned. `customer`: to whom."""

    customer: str
    information: SpeechInformation
    script: Script
    reward: float


def expectations(
    tried: Sequence[Tried],
    asked: Sequence[Sequence[Script]],
    elsewhere: Sequence[Tried] = (),
    folds: int = FOLDS,
) -> list[Mapping[str, float]]:
    """For each of `tried` the reward to expect of each script of `asked` (by id), told by a model
    that has not learnt from its customer: cross-fitted (Chernozhukov et al. 2018).

    `elsewhere`: more to learn from, of other customers. Raises ValueError where the two share one,
    or fewer than two customers can be told apart.
    """
    import numpy as np

    if len({one.customer for one in (*tried, *elsewhere)}) < 2:
        raise ValueError("a model of rewards needs two customers")
    if shared := {one.customer for one in tried} & {one.customer for one in elsewhere}:
        raise ValueError(f"{len(shared)} customers are judged and learnt from")
    names, group = np.unique([one.customer for one in tried], return_inverse=True)
    # Names sort by when customers came, so that they are dealt in turn.
    fold = group % min(folds, len(names)) if len(names) > 1 else np.zeros(len(tried), dtype=int)
    table = _table([(one.information, one.script) for one in (*tried, *elsewhere)])
    # What was never seen weighs nothing, and is most of the columns.
    seen = np.unique(table.indices)
    table = table[:, seen]
    rewards = np.array([one.reward for one in (*tried, *elsewhere)])
    found: list[Mapping[str, float]] = [{} for _ in tried]
    for number in np.unique(fold):
        mine = np.flatnonzero(fold == number)
        rest = np.flatnonzero(fold != number)
        learned = np.concatenate([rest, np.arange(len(tried), len(rewards))])
        model = _fit(table[learned], rewards[learned])
        for row, values in zip(mine, _told(model, tried, asked, mine, seen), strict=True):
            found[row] = values
    return found


def _told(
    model: Any,
    tried: Sequence[Tried],
    asked: Sequence[Sequence[Script]],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> list[Mapping[str, float]]:
    pairs = [(tried[row].information, script) for row in rows for script in asked[row]]
    told = iter(_predicted(model, _table(pairs)[:, columns]) if pairs else ())
    return [{script.id: float(next(told)) for script in asked[row]} for row in rows]


def _fit(table: Any, rewards: Floats) -> Any:
    """A fitted model, or the one reward that there is."""
    from sklearn.linear_model import LogisticRegression, Ridge

    kinds = set(rewards.tolist())
    if len(kinds) == 1:
        return float(rewards[0])
    if kinds == {0.0, 1.0}:
        return LogisticRegression(C=_FREE, max_iter=300).fit(table, rewards)
    return Ridge(alpha=1 / _FREE, solver="sparse_cg").fit(table, rewards)


def _predicted(model: Any, table: Any) -> Floats:
    import numpy as np

    if isinstance(model, float):
        return np.full(table.shape[0], model)
    told = model.predict_proba(table)[:, 1] if hasattr(model, "predict_proba") else None
    values: Floats = model.predict(table) if told is None else told
    return values


def _table(pairs: Sequence[tuple[SpeechInformation, Script]]) -> Any:
    """Sparse (pairs, columns)."""
    from sklearn.feature_extraction import FeatureHasher

    heard: dict[int, list[tuple[str, float]]] = {}
    rows = []
    for information, script in pairs:
        known = heard.get(id(information))
        if known is None:
            known = heard[id(information)] = list(_heard(information))
        rows.append(_crossed(information, known, script))
    return FeatureHasher(_COLUMNS, input_type="pair").transform(rows)


def _heard(information: SpeechInformation) -> Iterator[tuple[str, float]]:
    """What is said, each with its share: all together weigh as much as one fact."""
    text = normalise(information.sentence.text)
    grams = {text[at : at + 2] for at in range(len(text) - 1)} | set(text)
    for gram in sorted(grams):
        yield gram, len(grams) ** -0.5


def _crossed(
    information: SpeechInformation, heard: Sequence[tuple[str, float]], script: Script
) -> list[tuple[str, float]]:
    style, topic = script.style, script.topic
    who = [(name, p) for name, p in information.colour.items() if p >= _LIKELY] or [("", 1.0)]
    moods = [(one.value, p) for one, p in information.mood.combined.items() if p >= _LIKELY]
    relation, step = information.relation.value, information.scene.step
    found = [
        (f"script {script.id}", 0.5),
        (f"topic {topic}", 1.0),
        (f"style {style}", 1.0),
        (f"relation {relation} {topic}", 1.0),
        (f"step {step} {topic}", 1.0),
        (f"product {information.scene.product} {script.product}", 1.0),
    ]
    found += [(f"said {gram} {topic}", share) for gram, share in heard]
    found += [(f"mood {mood} {style}", p) for mood, p in moods]
    found += [(f"colour {name} {style}", p) for name, p in who]
    found += [
        (f"both {mood} {name} {style}", p * share) for mood, p in moods for name, share in who
    ]
    return found
