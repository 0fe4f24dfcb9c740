"""`persona-ray synth`: an archive of calls with planted truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from persona_ray.cli.options import ConfigPath, Overrides
from persona_ray.cli.tables import print_keys
from persona_ray.config import describe, load_section

app = typer.Typer(
    no_args_is_help=True,
    help="An archive of synthetic calls whose truth is known, to test a deployment with.",
)


@app.command()
def build(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the archive.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Write calls, business database, truth and simulated annotations.

    `--set engine=espeak` speaks at once (Debian: espeak-ng); kokoro sounds human and wants its
    voices: `npm pack kokoro-js@1.2.1`, unpacked, `--set voices_folder=package/voices`. Speech is
    cached: an interrupted build goes on where it was.
    """
    from persona_ray.progress import RichProgress
    from persona_ray.synth.build import build_archive
    from persona_ray.synth.config import SynthConfig

    settings = load_section(SynthConfig, config, overrides or ())
    summary = build_archive(settings, out, RichProgress())
    Console().print(
        f"{out}: {summary.calls} calls of {summary.customers} customers "
        f"({summary.dirty_calls} with dirt), {summary.customer_speech_s / 60:.1f} min of customer "
        f"speech, {summary.audio_bytes / 1e6:.1f} MB, {summary.annotations} annotations"
    )


@app.command()
def keys() -> None:
    """Every key of the archive's configuration."""
    from persona_ray.synth.config import SynthConfig

    print_keys(describe(SynthConfig))
