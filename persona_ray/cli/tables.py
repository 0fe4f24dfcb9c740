"""Tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from persona_ray.evaluation.report.data import RecognisedCall

_STYLES = {"red": "red", "blue": "blue", "yellow": "yellow", "green": "green"}


def colour(label: str) -> Text:
    """The label, in its colour where it is one."""
    return Text(label, style=_STYLES.get(label, ""))


def best_two(probabilities: Mapping[str, float]) -> Sequence[str]:
    """Labels of the highest and the next probability."""
    return sorted(probabilities, key=lambda label: -probabilities[label])[:2]


def print_calls(calls: Iterable[RecognisedCall]) -> None:
    """Recognised calls beside the label that annotators gave their customer."""
    table = Table("call", "customer", "annotated", "primary", "secondary", "sentences", "sum of p")
    for call in calls:
        if call.probabilities is None:
            table.add_row(call.call_id, call.customer_id, colour(call.label), call.reason)
            continue
        primary, secondary = best_two(call.probabilities)
        figures = "  ".join(f"{name} {p:.2f}" for name, p in call.probabilities.items())
        table.add_row(
            call.call_id,
            call.customer_id,
            colour(call.label),
            colour(primary),
            colour(secondary),
            str(len(call.sentences)),
            figures,
        )
    Console().print(table)
