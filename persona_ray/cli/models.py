"""`persona-ray models`: registered bundles, who is champion, and whom they heard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from persona_ray.cli.options import ConfigPath, Overrides, read
from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.launch.versions.paired import BundleComparison

app = typer.Typer(
    no_args_is_help=True,
    help="Registered bundles: list, promote, roll back, compare, and whom they heard.",
)


@app.command()
def register(
    bundle: Annotated[
        Path | None, typer.Argument(help="The bundle's folder; default: the workspace's.")
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Make a bundle a version of the registered model, with the alias challenger.

    `finetune` does it by itself (tracking.challenger). The same bundle is registered once.
    """
    from persona_ray.launch.versions.promotion import register as add

    run = read(config, overrides)
    version = add(run, bundle or run.bundle_dir)
    typer.echo(f"{version.uri}: {', '.join([str(version), *version.aliases])}")


@app.command("list")
def list_(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """Versions with their aliases and how they were judged.

    `dev clips` is the accuracy on the dev split when training ended, `test clips` that on held-out
    customers where it was evaluated; `customers` were heard, `forgotten` of them forgotten since.
    """
    from persona_ray.launch.versions.records import JUDGEMENT
    from persona_ray.launch.versions.registry import Registry

    registry = Registry.open(read(config, overrides))
    versions = registry.versions()
    if not versions:
        typer.echo(f"no bundle is registered as '{registry.model}'")
        return
    heads = ("version", "aliases", "registered (UTC)", "dev clips", "test clips", "customers")
    table = Table(*heads, "forgotten", "judged")
    for version in versions:
        table.add_row(
            str(version.number),
            ", ".join(version.aliases),
            f"{version.registered_at:%Y-%m-%d %H:%M}",
            _percent(version.details("metrics").get("dev_clip_accuracy")),
            _percent(version.evaluated.get("test_clip_accuracy")),
            version.tags.get("customers", "unknown"),
            str(version.forgotten or ""),
            str(version.details(JUDGEMENT).get("decision", "")),
        )
    Console().print(table)


@app.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version's number or alias.")] = "challenger",
    force: Annotated[
        bool, typer.Option("--force", help="Promote it whatever the comparison says.")
    ] = False,
    reason: Annotated[
        str, typer.Option("--reason", help="Kept with the version; --force needs one.")
    ] = "",
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Make a version champion, unless it is worse than the present one beyond noise.

    Both answer for the labelled clips of the test split's customers whom neither has heard. It is
    refused (exit code 6) when the whole 95 % interval of the difference in clip accuracy, by a
    paired bootstrap over customers, lies below zero.
    """
    from persona_ray.launch.versions.promotion import promote as make_champion
    from persona_ray.progress import RichProgress

    run = read(config, overrides)
    typer.echo(str(make_champion(run, version, RichProgress(), force, reason)))


@app.command()
def rollback(
    reason: Annotated[str, typer.Option("--reason", help="Kept in the history.")] = "",
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Make the champion before the present one champion again."""
    from persona_ray.launch.versions.promotion import rollback as put_back

    former, left = put_back(read(config, overrides), reason)
    typer.echo(f"{former} is champion again, {left} is not")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A version, an alias, a models:/ URI, a folder.")],
    second: Annotated[str, typer.Argument(help="Another.")],
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Two bundles on the same clips of held-out customers whom neither has heard."""
    from persona_ray.launch.versions.promotion import compare as compare_two
    from persona_ray.progress import RichProgress

    _print_comparison(compare_two(read(config, overrides), first, second, RichProgress()))


@app.command()
def lineage(
    customer: Annotated[
        str, typer.Option("--customer", metavar="ID", help="The bundles that heard this customer.")
    ] = "",
    version: Annotated[
        str, typer.Option("--version", help="Whom this version (number, alias) heard.")
    ] = "",
    bundle: Annotated[
        str, typer.Option("--bundle", help="Whom the bundle in this folder or URI heard.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option("--csv", help="Write every clip of that bundle to this file.")
    ] = None,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """From a customer to the bundles that heard them, or from a bundle to whom it heard."""
    if sum(map(bool, (customer, version, bundle))) != 1:
        raise ConfigError("name one of --customer ID, --version VERSION, --bundle FOLDER")
    if out is not None and customer:
        raise ConfigError("--csv writes the clips of a --version or --bundle, not of a --customer")
    run = read(config, overrides)
    if customer:
        _print_bundles(run, customer)
    else:
        _print_customers(run, version, bundle, out)


def _print_bundles(run: RunConfig, customer: str) -> None:
    from persona_ray.launch.versions.lineage import bundles_of
    from persona_ray.models.lineage import Use

    found = bundles_of(run, customer)
    if not found:
        typer.echo(f"no bundle has heard customer '{customer}'")
        return
    table = Table("bundle", *(f"{use} clips" for use in Use), "note")
    for entry in found:
        counts = [str(entry.uses.get(use, 0)) for use in Use]
        shown = ["?"] * len(counts) if entry.unknown else counts
        table.add_row(entry.bundle, *shown, entry.unknown)
    Console().print(table)


def _print_customers(run: RunConfig, version: str, bundle: str, out: Path | None) -> None:
    from persona_ray.launch.versions.lineage import write_csv
    from persona_ray.launch.versions.registry import Registry, resolve_bundle
    from persona_ray.models.lineage import Lineage, Use

    if version:
        registry = Registry.open(run)
        lineage = registry.lineage(registry.find(version))
    else:
        lineage = Lineage.read(resolve_bundle(run, bundle))
    customers = lineage.customers()
    table = Table("split", "customers", "clips")
    for use in Use:
        clips = [counts[use] for counts in customers.values() if counts[use]]
        table.add_row(use.value, str(len(clips)), str(sum(clips)))
    Console().print(table)
    if out is not None:
        typer.echo(f"{out}: {write_csv(lineage, out)} rows")


def _print_comparison(comparison: BundleComparison) -> None:
    table = Table("figure", comparison.first, comparison.second, "difference", "95 % interval")
    for figure in comparison.paired.figures:
        bounds = figure.difference.interval
        table.add_row(
            figure.name,
            f"{figure.first:.1%}",
            f"{figure.second:.1%}",
            f"{100 * figure.difference.value:+.1f}",
            "" if bounds is None else " to ".join(f"{100 * bound:+.1f}" for bound in bounds),
        )
    Console().print(table)
    for note in comparison.notes:
        typer.echo(note)
    worse = comparison.paired.second_is_worse
    typer.echo(
        f"{comparison.second} is {'worse' if worse else 'not worse'} beyond noise "
        f"({comparison.paired.deciding.name})"
    )


def _percent(value: object) -> str:
    return f"{value:.1%}" if isinstance(value, float) else ""
