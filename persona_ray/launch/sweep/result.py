"""What a sweep leaves: table, page, the best configuration."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig, write_config
from persona_ray.config.space import DECAY, THRESHOLD, Values, short, shown, with_values
from persona_ray.files import write_whole
from persona_ray.launch.sweep.scores import FIGURES, Row

if TYPE_CHECKING:
    from persona_ray.evaluation.report.sweep import SweepPage
    from persona_ray.launch.finetune import FinetuneResult

TABLE, PAGE, BEST, MAP = "sweep.csv", "sweep.html", "best.yaml", "plots/sweep.svg"


@dataclass(frozen=True, slots=True)
class SweepResult:
    """`rows`, the best first; `configured`: the values of the configuration itself. `trained` runs
    were trained now, `found` were there. `final`: the training with the best configuration."""

    folder: Path
    metric: str
    rows: Sequence[Row]
    configured: Values
    trained: int
    found: int
    notes: Sequence[str]
    final: FinetuneResult | None = None

    @property
    def best(self) -> Row:
        return self.rows[0]

    def __str__(self) -> str:
        best = self.best
        spread = "" if best.spread is None else f" ± {best.spread:.3f}"
        lines = [
            f"runs: {self.trained} trained, {self.found} known before",
            f"best: {shown(best.values)}: {self.metric} {best.score:.3f}{spread}",
        ]
        same = [row for row in self.rows if dict(row.values) == dict(self.configured)]
        if same and same[0] is not best:
            lines.append(f"configured: {shown(self.configured)}: {same[0].score:.3f}")
        lines += self.notes
        lines += [f"page: {self.folder / PAGE}", f"configuration: {self.folder / BEST}"]
        return "\n".join([*lines, *([str(self.final)] if self.final else [])])


def write_results(config: RunConfig, result: SweepResult, keys: Sequence[str]) -> dict[str, str]:
    """Write table, page and best configuration; the same, and the map, as texts by name."""
    from persona_ray.evaluation.report.standalone import standalone
    from persona_ray.evaluation.report.sweep import heat_map, render_sweep

    page = _page(config, result, keys)
    texts = {TABLE: table(result.rows, keys), PAGE: render_sweep(page)}
    result.folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_whole(result.folder / name, text)
    write_config(best_config(config, result.best.values), result.folder / BEST)
    texts[BEST] = (result.folder / BEST).read_text(encoding="utf-8")
    plot = heat_map(page)
    return texts | ({MAP: standalone(plot)} if plot else {})


def best_config(config: RunConfig, values: Values) -> RunConfig:
    """The whole configuration, for `persona-ray finetune --config`."""
    best: RunConfig = with_values(config, values)
    return best


def table(rows: Sequence[Row], keys: Sequence[str]) -> str:
    """As CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*keys, "score", "spread", *FIGURES, "runs", "epochs", "seconds", "whole"])
    for row in rows:
        writer.writerow(
            [
                *(short(row.values[key]) for key in keys),
                f"{row.score:.6f}",
                "" if row.spread is None else f"{row.spread:.6f}",
                *(f"{row.figures[name]:.6f}" for name in FIGURES),
                row.runs,
                f"{row.epochs:g}",
                f"{row.seconds:.2f}",
                str(row.whole).lower(),
            ]
        )
    return text.getvalue()


def _page(config: RunConfig, result: SweepResult, keys: Sequence[str]) -> SweepPage:
    from persona_ray.evaluation.report.sweep import SweepPage, SweepRow

    rows = [
        SweepRow(
            values={key: short(row.values[key]) for key in keys},
            score=row.score,
            spread=row.spread,
            figures=row.figures,
            runs=row.runs,
            epochs=row.epochs,
            seconds=row.seconds,
            whole=row.whole,
        )
        for row in result.rows
    ]
    best = result.best
    spread = "" if best.spread is None else f" ± {best.spread:.3f} over {best.runs} runs"
    lead = f"Best: {shown(best.values)} with {result.metric} {best.score:.3f}{spread}."
    return SweepPage(
        title="Sweep",
        metric=result.metric,
        smaller_is_better=config.sweep.smaller_is_better,
        rows=rows,
        axes=_axes(result.rows, keys),
        notes=[lead, *result.notes],
    )


def _axes(rows: Sequence[Row], keys: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Threshold and decay first, as far as they vary; values in their order."""
    first = [key for key in (THRESHOLD, DECAY) if key in keys]
    axes: dict[str, Sequence[str]] = {}
    for key in [*first, *(key for key in keys if key not in first)]:
        values = [row.values[key] for row in rows]
        numbers = all(isinstance(value, int | float) for value in values)
        ordered = sorted(values, key=None if numbers else short)
        axes[key] = list(dict.fromkeys(short(value) for value in ordered))
    return axes
