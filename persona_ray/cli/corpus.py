"""`persona-ray corpus`: from a call archive to clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from persona_ray.cli.options import ConfigPath, Fresh, Overrides, read

if TYPE_CHECKING:
    from persona_ray.corpus.pipeline import CorpusSummary

app = typer.Typer(no_args_is_help=True, help="From a call archive to the customer's sentences.")


@app.command()
def build(
    config: ConfigPath = None,
    overrides: Overrides = None,
    fresh: Fresh = False,
) -> None:
    """Read calls, recognise the customer's channel, cut sentences.

    A killed build goes on where it was; calls that are new in the database are added. Calls that
    cannot be used are set aside in quarantine.csv with the reason.
    """
    from persona_ray.launch.corpus import build_corpus
    from persona_ray.progress import RichProgress

    tell_build(build_corpus(read(config, overrides), RichProgress(), fresh=fresh))


def tell_build(summary: CorpusSummary) -> None:
    """Print what a build found and did. Raises CorpusError where no call gave a clip."""
    from persona_ray.cli.tables import print_corpus
    from persona_ray.launch.corpus import check_clips

    print_corpus(summary)
    check_clips(summary)


@app.command()
def show(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """What the corpus holds, and what was set aside and why."""
    from persona_ray.corpus.dataset import CorpusDataset

    run = read(config, overrides)
    dataset = CorpusDataset.open(run.corpus_dir)
    calls = Table("call", "customer", "status", "reason", "detail", title="calls set aside")
    clips = seconds = 0.0
    for info in dataset.infos():
        clips += 1
        seconds += info.duration_s
    for call in dataset.calls():
        if call.reason:
            calls.add_row(call.call_id, call.customer_id, call.status, call.reason, call.detail)
    console = Console()
    if calls.row_count:
        console.print(calls)
    totals = f"{clips:.0f} clips, {seconds / 60:.1f} min, fingerprint {dataset.fingerprint}"
    console.print(totals, soft_wrap=True)


@app.command()
def transcripts(
    url: Annotated[str, typer.Option("--url", help="SQLAlchemy URL of the database to write to.")],
    leave: Annotated[
        list[str] | None,
        typer.Option("--leave", metavar="CALL_ID", help="A call to leave without a transcript."),
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Write the recognised words of every call into a database's table `transcripts`.

    A later build that reads them (asr.reuse_transcripts) need not recognise these calls again.
    """
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.corpus.transcripts import write_transcripts

    run = read(config, overrides)
    left = set(leave or ())
    calls = (c for c in CorpusDataset.open(run.corpus_dir).calls() if c.call_id not in left)
    typer.echo(f"{write_transcripts(url, calls)} transcripts written")
