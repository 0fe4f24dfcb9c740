"""`persona-ray recognize-archive`: the colour of every call and customer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.launch.archive.job import RecognizedArchive


def recognize_archive(
    bundle: Annotated[
        str,
        typer.Option(help="A folder or models:/persona@champion; default: recognition.bundle."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what this model said, and start over.")
    ] = False,
) -> None:
    """Give every call of the archive a colour, and every customer one over all calls.

    A killed run goes on where it was; a later run recognises the calls that are new in the
    database. Results go to the store and to recognitions/ of the workspace, beside those of other
    models. Calls that cannot be used are set aside in quarantine.csv with the reason.
    """
    from persona_ray.launch.archive.job import recognize_archive as recognize
    from persona_ray.progress import RichProgress

    run = read(config, overrides)
    if bundle:
        chosen = run.recognition.model_copy(update={"bundle": bundle})
        run = run.model_copy(update={"recognition": chosen})
    found = recognize(run, RichProgress(), fresh=fresh)
    if as_json:
        typer.echo(json.dumps(found.to_dict(), ensure_ascii=False, indent=1))
    else:
        tell_archive(found)


def tell_archive(found: RecognizedArchive, console: Console | None = None) -> None:
    """Coverage, colours, and what this run did."""
    console = console or Console()
    console.print(_coverage(found))
    console.print(_colours(found))
    for drift in found.run.drift:
        told = f"{drift.index:.2f} against {drift.against}"
        console.print(f"drift of {drift.kind.replace('_', ' ')}: {told}", soft_wrap=True)
    if found.run.note and found.run.new_calls:
        console.print(f"speech was recognised anew: {found.run.note}", soft_wrap=True)


def _coverage(found: RecognizedArchive) -> Table:
    summary, run = found.summary, found.run
    table = Table("archive", str(found.folder), title_justify="left")
    if summary.version:
        table.add_row("model", f"{summary.name} version {summary.version}")
    for status, count in summary.calls_by_status.items():
        table.add_row(f"calls: {status}", f"{count:,}")
    for reason, count in summary.calls_by_reason.items():
        table.add_row(f"  {reason}", f"{count:,}")
    table.add_row("sentences", f"{summary.sentences:,}")
    table.add_row("customers", f"{summary.customers:,}")
    table.add_row("  with a colour", f"{summary.customers_with_colour:,} ({summary.coverage:.1%})")
    for reason, count in summary.customers_without.items():
        table.add_row(f"  without: {reason}", f"{count:,} ({count / summary.customers:.1%})")
    table.add_row("calls in this run", f"{run.new_calls:,} ({run.known_calls:,} from the corpus)")
    if run.new_calls:
        table.add_row("calls per second", f"{run.calls_per_s:.2f}")
        table.add_row("audio seconds per second", f"{run.audio_s_per_s:.1f}")
    return table


def _colours(found: RecognizedArchive) -> Table:
    from persona_ray.cli.tables import colour

    summary = found.summary
    table = Table("colour", "customers", "share", "calls", "mean confidence")
    for label, share in summary.colours.items():
        table.add_row(
            colour(label),
            f"{share.customers:,}",
            f"{share.share:.1%}",
            f"{share.calls:,}",
            f"{share.confidence:.2f}" if share.customers else "",
        )
    if summary.confidence:
        low, middle, high = summary.confidence.values()
        table.caption = f"confidence of customers: quartiles {low:.2f}, {middle:.2f}, {high:.2f}"
    return table
