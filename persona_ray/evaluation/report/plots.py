"""Plots of scores, training, pretraining and the corpus, as inline SVG."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from persona_ray.evaluation.report.drawing import (
    DASHES,
    FIRST,
    INK,
    MUTED,
    SECOND,
    THIRD,
    legend,
    level,
    svg,
)
from persona_ray.evaluation.report.pretraining import thinned
from persona_ray.evaluation.scores import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from persona_ray.evaluation.quality import CutErrors
    from persona_ray.evaluation.report.data import Comparison, SplitGap, TrainingRun
    from persona_ray.evaluation.report.pretraining import PretrainingRun

# Points of a curve: more than these are averaged, more than those are drawn without marks.
_POINTS, _MARKED = 200, 20


def comparison_plot(comparison: Comparison) -> str:
    """Accuracy of each modality, for customers and clips, with intervals."""
    names = [entry.modality.value.capitalize() for entry in comparison.modalities]
    series = [
        ("whole customers", FIRST, [entry.customers for entry in comparison.modalities]),
        ("single clips", SECOND, [entry.clips for entry in comparison.modalities]),
    ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _bars(
            axes, names, [(label, ink, [_accuracy(s) for s in row]) for label, ink, row in series]
        )
        level(axes, series[0][2][0].chance, "chance")

    return svg(draw, 5.3, 3.1, "comparison", "Accuracy by modality")


def split_gap_plot(gap: SplitGap) -> str:
    """Clip scores with customers kept apart beside those with clips dealt one by one."""

    def figures(scores: Scores) -> list[_Bar]:
        return [
            (estimate.value, estimate.interval)
            for estimate in (scores.accuracy, scores.macro_f1, scores.unweighted_recall)
        ]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        series = [
            ("split by customer", FIRST, figures(gap.by_customer)),
            ("split by sentence (leaks)", THIRD, figures(gap.by_sentence)),
        ]
        _bars(axes, ["Accuracy", "Macro-F1", "Unweighted recall"], series)
        level(axes, gap.by_customer.chance, "chance")

    return svg(draw, 5.3, 3.1, "gap", "Scores by kind of split")


def training_plot(run: TrainingRun) -> str:
    """Loss, and accuracy on the dev split, by epoch; where the encoders are unfrozen is marked."""
    epochs = [epoch.epoch for epoch in run.epochs]
    frozen = sum(epoch.frozen for epoch in run.epochs)
    dev_loss = [(e.epoch, e.dev_loss) for e in run.epochs if e.dev_loss is not None]
    accuracy = [(e.epoch, e.dev_accuracy) for e in run.epochs if e.dev_accuracy is not None]

    def draw(figure: Figure) -> None:
        panels = list(figure.subplots(2 if accuracy else 1, 1, sharex=True, squeeze=False)[:, 0])
        panels[0].plot(epochs, [e.loss for e in run.epochs], "o-", color=FIRST, label="train", ms=3)
        if dev_loss:
            panels[0].plot(*zip(*dev_loss, strict=True), "o-", color=SECOND, label="dev", ms=3)
        panels[0].set_title("Loss (cross entropy)")
        panels[0].set_ylim(bottom=0)
        legend(panels[0], 2)
        if accuracy:
            panels[1].plot(*zip(*accuracy, strict=True), "o-", color=SECOND, ms=3)
            panels[1].set_title("Accuracy on dev clips")
            panels[1].set_ylim(0, 1)
            panels[1].yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        for panel in panels:
            if 0 < frozen < len(epochs):
                panel.axvline(frozen + 0.5, color=MUTED, linestyle=DASHES, linewidth=1)
        if 0 < frozen < len(epochs):
            panels[0].annotate(
                "encoders unfrozen",
                (frozen + 0.5, 0.08),
                xycoords=("data", "axes fraction"),
                xytext=(5, 0),
                textcoords="offset points",
                color=MUTED,
                fontsize=9,
            )
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.get_major_locator().set_params(integer=True)

    return svg(draw, 5.3, 4.2 if accuracy else 2.6, "training", "Training curve")


def pretraining_plot(runs: Sequence[PretrainingRun], encoder: Literal["text", "speech"]) -> str:
    """Loss and accuracy on what is masked by epoch, all runs of one encoder in one plot."""
    what = {"text": "words", "speech": "units"}[encoder]

    def draw(figure: Figure) -> None:
        loss, accuracy = figure.subplots(2, 1, sharex=True)
        inks = itertools.cycle((FIRST, THIRD, SECOND))
        for run, ink in zip(runs, inks, strict=False):
            points = thinned(run.points, _POINTS)
            epochs = [point.epoch for point in points]
            mark = "o-" if len(points) <= _MARKED else "-"
            loss.plot(epochs, [p.loss for p in points], mark, color=ink, ms=3)
            accuracy.plot(
                epochs, [p.accuracy for p in points], mark, color=ink, label=run.name, ms=3
            )
        loss.set_title(f"Loss on masked {what} (nats)")
        loss.set_ylim(bottom=0)
        accuracy.set_title(f"Masked {what} guessed right")
        top = max(point.accuracy for run in runs for point in run.points)
        accuracy.set_ylim(0, min(1.0, max(0.1, 1.15 * top)))
        accuracy.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        accuracy.set_xlabel("epoch")
        if len(runs) > 1:
            # Accuracy rises: this corner is free.
            accuracy.legend(loc="lower right", fontsize=9)

    return svg(draw, 5.3, 3.9, f"pretraining-{encoder}", f"Pretraining of the {encoder} encoder")


def layer_weights_plot(weights: Sequence[float], parts: Sequence[float] = ()) -> str:
    """Learned weight of each Transformer block and, where it was measured, the block's part in the
    speech vector."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        blocks = list(range(1, len(weights) + 1))
        series = [("weight", FIRST, weights), ("part in the vector", THIRD, parts)]
        drawn = [entry for entry in series if entry[2]]
        width = 0.7 / len(drawn)
        for k, (label, ink, values) in enumerate(drawn):
            places = [block + (k - (len(drawn) - 1) / 2) * width for block in blocks]
            axes.bar(places, values, width * 0.92, color=ink, label=label)
        level(axes, 1 / len(weights), "even")
        axes.set_xlabel("Transformer block")
        axes.set_title("Each block (sum 1)" if parts else "Weight of each block (they sum to 1)")
        if parts:
            legend(axes, 2)
        if len(blocks) <= 12:
            axes.set_xticks(blocks)
        axes.set_xlim(0.4, len(blocks) + 0.6)

    return svg(draw, 5.3, 2.6, "layers", "Learned layer weights")


def cut_error_plot(cut: CutErrors) -> str:
    """Histogram of border errors."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        lefts, widths = cut.edges_ms[:-1], [b - a for a, b in itertools.pairwise(cut.edges_ms)]
        inks = [THIRD if left < 0 else FIRST for left in lefts]
        axes.bar(lefts, cut.counts, widths, align="edge", color=inks)
        # Headroom for the name of the line.
        axes.set_ylim(0, 1.18 * max(cut.counts))
        axes.axvline(cut.pad_ms, color=MUTED, linestyle=DASHES, linewidth=1)
        axes.annotate(
            f"padding {cut.pad_ms:.0f} ms",
            (cut.pad_ms, 1),
            xycoords=("data", "axes fraction"),
            xytext=(5, -8),
            textcoords="offset points",
            color=MUTED,
            fontsize=9,
        )
        axes.set_xlabel("ms beyond the utterance (below 0: cuts into speech)")
        axes.set_title("Clip borders")

    return svg(draw, 5.3, 2.6, "cut", "Cut errors")


_Bar = tuple[float, tuple[float, float] | None]


def _accuracy(scores: Scores) -> _Bar:
    return scores.accuracy.value, scores.accuracy.interval


def _bars(
    axes: Axes, names: Sequence[str], series: Sequence[tuple[str, str, Sequence[_Bar]]]
) -> None:
    """Groups of bars from 0 to 1 with their intervals and figures."""
    width = 0.72 / len(series)
    for k, (label, ink, bars) in enumerate(series):
        for i, (value, interval) in enumerate(bars):
            x = i + (k - (len(series) - 1) / 2) * width
            axes.bar(x, value, width * 0.9, color=ink, label=label if i == 0 else None)
            top = value
            if interval is not None:
                axes.plot([x, x], interval, color=INK, linewidth=1.2)
                top = max(top, interval[1])
            axes.annotate(
                f"{value:.0%}", (x, top), xytext=(0, 3), textcoords="offset points", ha="center"
            )
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", labelcolor=INK)
    # Room at the right, where the level of chance is named.
    axes.set_xlim(-0.5, len(names) - 0.22)
    axes.set_ylim(0, 1.1)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    legend(axes, len(series))
