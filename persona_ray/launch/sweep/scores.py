"""How combinations of a sweep did, and which is best."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from persona_ray.config.space import Values
from persona_ray.config.sweep import Metric
from persona_ray.launch.sweep.plan import SweepRun

if TYPE_CHECKING:
    from persona_ray.training.finetune.history import EpochResult, History

# Figures of an epoch that a row of the table has.
FIGURES: tuple[Metric, ...] = (
    "loss",
    "clip_accuracy",
    "clip_macro_f1",
    "customer_accuracy",
    "customer_macro_f1",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One combination: means over its runs, of the epoch that `training.keep` says.

    `score` is that of `sweep.metric`, `spread` its standard deviation over the runs (None of one);
    `epochs` are those trained, `seconds` their time. `whole`: every run has ended; otherwise the
    scheduler gave up, and the figures are those of the epochs before.
    """

    values: Values
    runs: int
    score: float
    spread: float | None
    figures: Mapping[str, float]
    epochs: float
    seconds: float
    whole: bool


def score_of(epochs: Sequence[EpochResult], keep: Literal["last", "best"], metric: Metric) -> float:
    """Of the epoch that would become the bundle, on the held-out clips."""
    return kept_figures(epochs, keep)[metric]


def kept_figures(
    epochs: Sequence[EpochResult], keep: Literal["last", "best"]
) -> dict[Metric, float]:
    from persona_ray.training.finetune.history import History

    history = History(tuple(epochs))
    kept = history.best if keep == "best" else history.last
    assert kept is not None
    assert kept.dev is not None
    scores = asdict(kept.dev)
    return {name: float(scores[name]) for name in FIGURES}


def mean_score(scores: Sequence[float]) -> float:
    return math.fsum(scores) / len(scores)


def row_of(
    values: Values, runs: Sequence[SweepRun], histories: Mapping[str, History], metric: Metric
) -> Row | None:
    """Of the runs whose history is known; None where there is none."""
    found = [(run, histories.get(run.key)) for run in runs]
    known = [(run, history) for run, history in found if history and history.epochs]
    if not known:
        return None
    figures = [kept_figures(history.epochs, run.training.keep) for run, history in known]
    scores = [row[metric] for row in figures]
    return Row(
        values=dict(values),
        runs=len(known),
        score=mean_score(scores),
        spread=statistics.stdev(scores) if len(scores) > 1 else None,
        figures={name: mean_score([row[name] for row in figures]) for name in FIGURES},
        epochs=mean_score([len(history.epochs) for _, history in known]),
        seconds=math.fsum(epoch.seconds for _, history in known for epoch in history.epochs),
        whole=len(known) == len(runs) and all(history.ended for _, history in known),
    )


def ranked(rows: Sequence[Row], metric: Metric) -> list[Row]:
    """The best first: whole ones before those given up; of equal scores the one with the smaller
    loss, and then the earlier."""
    sign = 1.0 if metric == "loss" else -1.0
    return sorted(rows, key=lambda row: (not row.whole, sign * row.score, row.figures["loss"]))
