"""`persona-ray annotate`: clips out to annotators, their labels back in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read

app = typer.Typer(
    no_args_is_help=True,
    help="Clips out to annotators (CSV, Label Studio), their labels back in, how far they agree.",
)


@app.command("export")
def export(
    out: Annotated[
        Path,
        typer.Argument(help="`clips.csv` writes a table; a folder is written for Label Studio."),
    ],
    config: ConfigPath = None,
    overrides: Overrides = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="Add the bundle's answers as predictions.")
    ] = False,
) -> None:
    """Write all clips with the labels they have so far.

    The Label Studio folder holds tasks.json, labelling.xml and the clips as wav files.
    """
    from persona_ray.corpus.annotation.transfer import export_csv, export_label_studio
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.progress import RichProgress
    from persona_ray.store import open_audited
    from persona_ray.store.audit import actor_here

    run = read(config, overrides)
    dataset = CorpusDataset.open(run.corpus_dir)
    with open_audited(run) as store:
        kind = "CSV" if out.suffix.lower() == ".csv" else "Label Studio"
        details: dict[str, str | int] = {"clips": len(dataset), "as": kind}
        store.audit.note(actor_here(), "annotate.export", details=details)
        if out.suffix.lower() == ".csv":
            typer.echo(f"{out}: {export_csv(out, dataset, store, run.annotation)} rows")
            return
        predictions = None
        if predict:
            from persona_ray.launch.predict import predict_clips

            predictions = predict_clips(run, dataset, RichProgress())
        exported = export_label_studio(
            out, dataset, store, run.annotation, predictions, progress=RichProgress()
        )
    typer.echo(str(exported))


@app.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV, or JSON exported by Label Studio.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
    annotator: Annotated[
        str, typer.Option("--annotator", help="Who labelled rows that name nobody.")
    ] = "",
    skip_errors: Annotated[
        bool, typer.Option("--skip-errors", help="Import the good rows of a file with bad ones.")
    ] = False,
) -> None:
    """Read labels into the store. Importing a file again changes nothing.

    A row names its clip by clip_id, or by call_id, start_s and end_s.
    """
    from persona_ray.launch.annotate import import_annotations
    from persona_ray.progress import RichProgress

    run = read(config, overrides)
    for report in import_annotations(run, files, RichProgress(), annotator, skip_errors):
        for line in report.describe():
            typer.echo(line)
    _print_agreement(config, overrides, conflicts=5)


@app.command()
def agreement(
    config: ConfigPath = None,
    overrides: Overrides = None,
    conflicts: Annotated[int, typer.Option(help="List at most so many conflicts.")] = 50,
) -> None:
    """Krippendorff's alpha, labels per colour, and the clips that annotators disagree on."""
    _print_agreement(config, overrides, conflicts)


def _print_agreement(config: Path | None, overrides: list[str] | None, conflicts: int) -> None:
    from persona_ray.corpus.annotation.resolve import resolve_labels
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.store import open_store

    run = read(config, overrides)
    with open_store(run.store_url) as store:
        infos = CorpusDataset.open(run.corpus_dir).infos()
        resolution = resolve_labels(store, infos, run.annotation)
    for line in resolution.describe():
        typer.echo(line)
    for conflict in resolution.conflicts[:conflicts]:
        typer.echo(f"conflict: {conflict}")
