"""`persona-ray demo`: applications on what is shipped, from end to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import Overrides

if TYPE_CHECKING:
    from rich.console import Console

    from persona_ray.evaluation.report.assisted import AssistedPage
    from persona_ray.evaluation.report.screened import ScreenedPage

_WIDTH = 150

app = typer.Typer(no_args_is_help=True, help="Applications on what is shipped, from end to end.")


@app.command()
def screening(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Its own folder: model, store, page.")
    ] = Path("runs/demo-screening"),
    calls: Annotated[
        Path, typer.Option(help="Folder with calls.yaml and the callers' sound.")
    ] = Path("demo/calls"),
    overrides: Overrides = None,
) -> None:
    """Screen fifteen calls: frauds, sales, a delivery, a friend, known voices on new numbers.

    Trains a small category model at the first run, starts the service in this process, makes the
    calls over its WebSocket with sound, a few at a time, as they would last. Prints what the user
    is told and writes OUT/report.html; exit code 1 where a call goes otherwise than expected.
    """
    from persona_ray.apps.screening_demo import check, run_demo
    from persona_ray.progress import RichProgress

    result = run_demo(out, calls, overrides or (), RichProgress())
    print_calls(result.page)
    typer.echo(f"page: {result.path}")
    serve = f"persona-ray serve --app screening --set workspace={out}"
    typer.echo(f"the service with these calls, of the user '{result.user}': {serve}")
    check(result)


@app.command()
def assist(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Its own folder: models, store, page.")
    ] = Path("runs/demo-assist"),
    calls: Annotated[
        Path, typer.Option(help="Folder with calls.yaml and the sound of both sides.")
    ] = Path("demo/assist"),
    overrides: Overrides = None,
) -> None:
    """Assist the agent of three calls: a calm "I am busy", an angry customer, a pleased one.

    Trains a small emotion model and a ranker of scripts at the first run, starts the service in
    this process and plays the stereo calls at real time over its WebSocket. Shows what the agent's
    device shows: what is said and felt, what to say and why, and how long each stage took; the
    printed address is the agent's page of the same calls. Writes OUT/report.html; exit code 1 where
    a call goes otherwise than expected.
    """
    from rich.console import Console

    from persona_ray.apps.assist_demo import check, run_demo
    from persona_ray.cli.assist_view import AssistView
    from persona_ray.progress import RichProgress

    with AssistView(Console()) as view:
        result = run_demo(out, calls, overrides or (), RichProgress(), view, typer.echo)
    print_pushes(result.page)
    typer.echo(f"page: {result.path}")
    serve = f"persona-ray serve --app assist --set workspace={out}"
    typer.echo(f"the service with these models and calls: {serve}")
    check(result)


def print_pushes(page: AssistedPage) -> None:
    """When each push stood on the device, and whether it suits."""
    from rich.table import Table

    from persona_ray.evaluation.report.assisted import PROMISED_S, stages_of

    console = _console()
    stages = list(stages_of(page.pushes))
    table = Table("call", "the customer said", "mood", "planted", "suits", "after s", *stages)
    for call in page.calls:
        for turn in call.turns:
            if turn.push is None:
                continue
            push = turn.push
            suits = {None: "?", 0: "none"}.get(push.fits, f"script {push.fits}")
            parts = [f"{push.stages_s.get(stage, 0.0):.2f}" for stage in stages]
            after = f"{push.after_s:.2f}"
            table.add_row(call.call_id, turn.text, turn.emotion, turn.planted, suits, after, *parts)
    console.print(table)
    last = page.within_s(0.95)
    holds = "holds" if last <= PROMISED_S else "does not hold here"
    console.print(
        f"a push stands on the device {page.within_s(0.5):.2f} s (median), {last:.2f} s (95 %) "
        f"after the sentence; at most {PROMISED_S} s: {holds}",
        markup=False,
    )
    console.print(f"planted moods found: {page.moods[0]} of {page.moods[1]}", markup=False)
    fitting, known = page.fitting
    console.print(f"a script that suits among those shown: {fitting} of {known}", markup=False)


def print_calls(page: ScreenedPage) -> None:
    """The calls as a table."""
    from rich.table import Table

    console = _console()
    table = Table(show_lines=True)
    for name in ("who called", "what the system did", "category", "s", "what the user was told"):
        table.add_column(name, no_wrap=name in ("category", "s"))
    for row in page.rows:
        did = row.outcome + "".join(f"\nEXPECTED: {one}" for one in row.wrong)
        decided = "" if row.decided_s is None else f"{row.decided_s:.1f}"
        told = "\n".join(row.told)
        table.add_row(row.about, did, f"{row.category}\n{row.standing}".strip(), decided, told)
    console.print(table)
    for note in page.notes:
        console.print(note, markup=False)


def _console() -> Console:
    from rich.console import Console

    console = Console()
    # A file or pipe has no width that could be meant.
    return console if console.is_terminal else Console(width=_WIDTH)
