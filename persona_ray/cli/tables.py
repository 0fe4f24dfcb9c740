"""Tables for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from persona_ray.types import CallStatus

if TYPE_CHECKING:
    from persona_ray.corpus.pipeline import CorpusSummary
    from persona_ray.evaluation.report.data import RecognisedCall
    from persona_ray.inference.clips import CallRecognition, ClipRecognition
    from persona_ray.launch.sweep.result import SweepResult
    from persona_ray.types import NothingUsable, Recognition

_STYLES = {"red": "red", "blue": "blue", "yellow": "yellow", "green": "green"}
_INDENT = " " * 8
_SHOWN_ROWS = 40


def colour(label: str) -> Text:
    """The label, in its colour where it is one."""
    return Text(label, style=_STYLES.get(label, ""))


def best_two(probabilities: Mapping[str, float]) -> Sequence[str]:
    """Labels of the highest and the next probability."""
    return sorted(probabilities, key=lambda label: -probabilities[label])[:2]


def print_keys(keys: Iterable[tuple[str, str, str]], console: Console | None = None) -> None:
    """Each (key, default as YAML, meaning): key and default whole on a line, to be searched and
    copied, the meaning below, as wide as the terminal."""
    console = console or Console()
    for key, default, meaning in keys:
        first, *block = default.split("\n")
        console.print(Text.assemble((key, "bold"), f": {first}"), soft_wrap=True)
        for text in block:
            console.print(Text(f"    {text}"), soft_wrap=True)
        # Names of models are not broken: they are copied, too.
        wrapped = textwrap.wrap(
            meaning,
            console.width,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for text in wrapped:
            console.print(Text(text), soft_wrap=True)


def print_corpus(summary: CorpusSummary, console: Console | None = None) -> None:
    """What a build found and did."""
    table = Table("corpus", str(summary.folder), title_justify="left")
    for status in CallStatus:
        table.add_row(f"calls: {status.value}", _n(summary.count(f"calls_{status.value}")))
    for name, count in summary.manifest.counts.items():
        kind, _, what = name.partition("_")
        if kind in ("quarantined", "dropped", "flag"):
            table.add_row(f"  {kind}: {what}", _n(count))
    table.add_row("clips", _n(summary.count("clips")))
    table.add_row("minutes of clips", f"{summary.manifest.seconds.get('clips', 0.0) / 60:.1f}")
    table.add_row(
        "calls in this build", f"{_n(summary.new_calls)} ({summary.recognised} recognised)"
    )
    if summary.new_calls:
        table.add_row("audio seconds per second", f"{summary.audio_s_per_s:.1f}")
    (console or Console()).print(table)


def print_calls(calls: Iterable[RecognisedCall]) -> None:
    """Recognised calls beside the label that annotators gave their customer."""
    table = Table("call", "customer", "annotated", "primary", "secondary", "p", "sentences")
    for call in calls:
        who = (call.call_id, call.customer_id, colour(call.label))
        if call.probabilities is None:
            table.add_row(*who, "nothing usable")
            continue
        primary, secondary = best_two(call.probabilities)
        share = f"{call.probabilities[primary]:.2f}"
        table.add_row(*who, colour(primary), colour(secondary), share, str(len(call.sentences)))
    Console().print(table)


def print_recognitions(
    rows: Sequence[tuple[str, CallRecognition | ClipRecognition]],
    whole: Recognition | NothingUsable,
    labels: Sequence[str],
) -> None:
    """Each source with its sentences, then all together as one speaker."""
    from persona_ray.inference.clips import CallRecognition

    table = Table("source", "primary", "secondary", *labels, "text")
    for source, answer in rows:
        parts = answer.sentences if isinstance(answer, CallRecognition) else ()
        text = "" if isinstance(answer, CallRecognition) else answer.text or ""
        table.add_row(source, *_answer(answer.result, labels), text, style="bold" if parts else "")
        for part in parts:
            span = f"  {part.start_s:.1f} - {part.end_s:.1f} s"
            table.add_row(span, *_answer(part.result, labels), part.text or "")
    if len(rows) > 1:
        table.add_section()
        table.add_row("together", *_answer(whole, labels), "", style="bold")
    Console().print(table)


def print_sweep(result: SweepResult, console: Console | None = None) -> None:
    """Combinations, the best first; the file beside the page has them all."""
    from persona_ray.config.space import short

    keys = list(result.best.values)
    # Sections are left out where names alone tell keys apart.
    last = [key.rpartition(".")[2] for key in keys]
    names = last if len(set(last)) == len(last) else keys
    heads = [*names, result.metric, "±", "clips", "customers", "runs", "epochs", ""]
    rows = [
        (
            *(short(row.values[key]) for key in keys),
            f"{row.score:.3f}",
            "" if row.spread is None else f"{row.spread:.3f}",
            f"{row.figures['clip_accuracy']:.1%}",
            f"{row.figures['customer_accuracy']:.1%}",
            str(row.runs),
            f"{row.epochs:.3g}",
            "" if row.whole else "given up",
        )
        for row in result.rows[:_SHOWN_ROWS]
    ]
    # One seed has no spread, and without a scheduler nothing is given up.
    told = [at for at in range(len(heads)) if any(row[at] for row in rows)]
    table = Table(*(Column(heads[at], overflow="fold") for at in told))
    for row in rows:
        table.add_row(*(row[at] for at in told))
    (console or Console()).print(table)


def _answer(result: Recognition | NothingUsable, labels: Sequence[str]) -> list[Text]:
    from persona_ray.types import Recognition

    if not isinstance(result, Recognition):
        return [Text(f"nothing usable: {result.reason}"), Text(""), *(Text("-") for _ in labels)]
    figures = [Text(f"{result.probabilities[label]:.2f}") for label in labels]
    return [colour(result.primary), colour(result.secondary), *figures]


def _n(count: int) -> str:
    return f"{count:,}"
