"""The tree of commands."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli import (
    annotate,
    artefacts,
    assist,
    audit,
    backup,
    config,
    corpus,
    demo,
    device,
    doctor,
    forget,
    keys,
    learn,
    models,
    pretrain,
    recognize,
    recognize_archive,
    retention,
    screening,
    serve,
    store,
    stream,
    sweep,
    synth,
    vault,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="""From call recordings to a caller's personality colour (FPA: red, blue, yellow, green).

The main job in five steps, each resumable, each from one config file plus `--set a.b=c`:

1. `corpus build`: calls of a business database -> sentences of the customer (audio and text)

2. `annotate export` / `import`: sentences -> annotators -> labels, splits by customer

3. `finetune`: labelled sentences -> a bundle (weights and their contract)

4. `evaluate`: the bundle on customers never heard -> report.html

5. `recognize`: a recording -> primary and secondary colour

`run` does all five. `pretrain text` / `pretrain speech` train an encoder further on the calls
themselves, without labels, before `finetune`; `run` does it too for those in pretraining.encoders.

`recognize-archive` gives every call and every customer of the archive a colour, and goes on with
the new ones at the next run.

`sweep` fine-tunes with many combinations of settings, and names the best.

`models` keeps bundles in a registry: list, promote, roll back, compare, whom they heard.

`keys` makes and revokes the bearer keys of the service.

`doctor` checks what the work needs, here and on a cluster, and says what to do.

`serve` answers over HTTP and WebSocket, with the champion; `stream` sends it a recording as a live
call.

`vault` holds the keys that seal personal data at rest: status, rotate, drop.

`synth build` makes an archive with planted truth to try them on.

`backup` copies the store and the registered models, and brings them back; `store` tells and changes
the database's schema.

`artefacts` copies finished work to a folder or bucket, and back.

`screening` is the second application: unknown calls; `demo screening` plays some. `device` is a
phone that uses its sets.

`assist` is the third: what an agent may say next; `demo assist` plays a call.
""",
)


def _version(value: bool) -> None:
    if value:
        from persona_ray import __version__

        typer.echo(f"persona-ray {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


app.command("run")(learn.run)
app.add_typer(corpus.app, name="corpus")
app.add_typer(annotate.app, name="annotate")
app.add_typer(pretrain.app, name="pretrain")
app.command("finetune")(learn.finetune)
app.command("sweep")(sweep.sweep)
app.command("evaluate")(learn.evaluate)
app.command("recognize")(recognize.recognize)
app.command("recognize-archive")(recognize_archive.recognize_archive)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.command("stream")(stream.stream)
app.add_typer(models.app, name="models")
app.add_typer(keys.app, name="keys")
app.command("forget")(forget.forget)
app.add_typer(retention.app, name="retention")
app.add_typer(audit.app, name="audit")
app.add_typer(screening.app, name="screening")
app.add_typer(backup.app, name="backup")
app.add_typer(store.app, name="store")
app.add_typer(artefacts.app, name="artefacts")
app.add_typer(assist.app, name="assist")
app.add_typer(device.app, name="device")
app.add_typer(demo.app, name="demo")
app.add_typer(synth.app, name="synth")
app.add_typer(vault.app, name="vault")
app.add_typer(config.app, name="config")
