"""`persona-ray pretrain`: both encoders trained further on the archive itself."""

from __future__ import annotations

import typer

from persona_ray.cli.options import ConfigPath, Fresh, Overrides, read

app = typer.Typer(
    no_args_is_help=True,
    help="""Train an encoder further on your own calls, without labels, before `finetune`.

Each encoder learns on with the loss that its public checkpoint was made with: text by guessing
masked words, speech by guessing the units (clusters of sound) of masked frames. The result is a
plain Hugging Face folder in `encoders/` of the workspace; `finetune` and `evaluate` start from it
where `pretraining.encoders` names it.
""",
)


@app.command()
def text(config: ConfigPath = None, overrides: Overrides = None, fresh: Fresh = False) -> None:
    """Masked whole words, on the texts of the clips and of pretraining.text.files.

    Starts from model.text.path, or builds the small BERT. A checkpoint without a masked-word head
    gets one first (pretraining.text.head_epochs). Ctrl-C and `ray job stop` leave a checkpoint:
    the same command goes on from there.
    """
    from persona_ray.launch.pretrain import pretrain_text
    from persona_ray.progress import RichProgress

    typer.echo(str(pretrain_text(read(config, overrides), RichProgress(), fresh=fresh)))


@app.command()
def speech(config: ConfigPath = None, overrides: Overrides = None, fresh: Fresh = False) -> None:
    """Masked units, on the audio of the clips, as HuBERT was made.

    Starts from model.speech.path, or builds the small HuBERT. Each entry of
    pretraining.speech.iterations finds units (of MFCC, or of a layer of the encoder as it then is)
    and trains on them. Ctrl-C and `ray job stop` leave a checkpoint: the same command goes on.
    """
    from persona_ray.launch.pretrain import pretrain_speech
    from persona_ray.progress import RichProgress

    typer.echo(str(pretrain_speech(read(config, overrides), RichProgress(), fresh=fresh)))
