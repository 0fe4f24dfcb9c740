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
def dialogues(
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON lines to write.")],
    count: Annotated[int, typer.Option(min=1, help="How many, over all categories.")] = 3600,
    seed: Annotated[int, typer.Option(min=0, help="Another number: other dialogues.")] = 7,
    part: Annotated[
        str,
        typer.Option(help="all, or train or test: two parts without a wording in common."),
    ] = "all",
) -> None:
    """Write invented telephone dialogues (Chinese) over the categories of screening.

    Frauds, sales and calls that people wait for, honest calls among them that speak of what frauds
    speak of. One object a line: id, category, turns of speaker and text. The same arguments write
    the same bytes.
    """
    from persona_ray.errors import ConfigError
    from persona_ray.synth.dialogues.composing import compose
    from persona_ray.synth.dialogues.scenes import Part
    from persona_ray.synth.dialogues.writing import write_dialogues

    if part not in list(Part):
        raise ConfigError(f"--part {part}: must be {', '.join(Part)}")
    written = write_dialogues(compose(count, seed, Part(part)), out)
    Console().print(f"{out}: {written} dialogues")


@app.command()
def conversations(
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON lines to write; .gz: compressed.")],
    count: Annotated[int, typer.Option(min=1, help="Calls.")] = 1500,
    seed: Annotated[int, typer.Option(min=0, help="Another number: other calls.")] = 7,
    part: Annotated[
        str,
        typer.Option(help="all, or train or test: two parts without a wording in common."),
    ] = "all",
    overrides: Overrides = None,
) -> None:
    """Write invented calls of agents with customers (Chinese) whose moods and tastes are planted.

    Of each customer's sentence: step, relation, mood, the words that carry it, how it sounds beside
    the speaker's own baseline, which scripts of the library fit. Of each agent's: the script and
    what came of it, 0 to 100. Moods show in words, in tone or in both; what suits depends on
    product, topic, mood and personality colour. The emotion model and the ranker of scripts learn
    from it (`--part train`) and are judged on wordings never seen (`--part test`). The same
    arguments write the same bytes. `--set library=FILE` takes another library of scripts; it must
    have every topic and style of the shipped one.
    """
    from persona_ray.config.assist import AssistConfig
    from persona_ray.errors import ConfigError
    from persona_ray.inference.assist.library import load_library
    from persona_ray.synth.assist.composing import compose
    from persona_ray.synth.assist.world import World
    from persona_ray.synth.assist.writing import write_planted
    from persona_ray.synth.dialogues.scenes import Part

    if part not in list(Part):
        raise ConfigError(f"--part {part}: must be {', '.join(Part)}")
    settings = load_section(AssistConfig, None, overrides or ())
    world = World(load_library(settings.library, settings.steps).scripts, Part(part))
    written = write_planted(compose(world, count, seed, part), out)
    Console().print(f"{out}: {written} calls")


@app.command()
def callers(
    folder: Annotated[Path, typer.Argument(help="Folder with calls.yaml.")] = Path("demo/calls"),
    overrides: Overrides = None,
) -> None:
    """Speak the callers of a screening demo anew, after an edit of its calls.yaml.

    `--set engine=espeak` speaks at once; kokoro wants its voices, as `synth build` does.
    """
    from persona_ray.progress import RichProgress
    from persona_ray.synth.callers import speak_calls
    from persona_ray.synth.config import SynthConfig
    from persona_ray.synth.speech import make_synthesizer

    synthesizer = make_synthesizer(load_section(SynthConfig, None, overrides or ()))
    spoken = speak_calls(folder, synthesizer, RichProgress())
    Console().print(f"{folder}: {spoken} turns")


@app.command(name="assist-calls")
def assist_calls(
    folder: Annotated[Path, typer.Argument(help="Folder with calls.yaml.")] = Path("demo/assist"),
    overrides: Overrides = None,
) -> None:
    """Speak the stereo calls of an assistance demo anew, after an edit of its calls.yaml.

    Agents say scripts of the shipped library; customers sound like their planted moods. Beside the
    sound stands turns.jsonl: what is said when, and its truth. `--set engine=espeak` speaks at
    once; kokoro wants its voices, as `synth build` does.
    """
    from persona_ray.config.assist import AssistConfig
    from persona_ray.inference.assist.library import load_library
    from persona_ray.progress import RichProgress
    from persona_ray.synth.assist.calls import speak_folder
    from persona_ray.synth.assist.world import World
    from persona_ray.synth.config import SynthConfig
    from persona_ray.synth.speech import make_synthesizer

    synthesizer = make_synthesizer(load_section(SynthConfig, None, overrides or ()))
    world = World(load_library("", AssistConfig().steps).scripts)
    spoken = speak_folder(folder, world, synthesizer, RichProgress())
    Console().print(f"{folder}: {spoken} turns")


@app.command()
def keys() -> None:
    """Every key of the archive's configuration."""
    from persona_ray.synth.config import SynthConfig

    print_keys(describe(SynthConfig))
