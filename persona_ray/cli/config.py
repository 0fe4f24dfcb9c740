"""`persona-ray config`: what can be configured, and what a run would use."""

from __future__ import annotations

import typer
import yaml

from persona_ray.cli.options import ConfigPath, Overrides, read
from persona_ray.cli.tables import print_keys
from persona_ray.config import describe
from persona_ray.errors import ConfigError

app = typer.Typer(no_args_is_help=True, help="Show every key, or what a run would use.")


@app.command()
def keys(contains: str = typer.Argument("", help="Only keys that contain this.")) -> None:
    """Every key with its default and what it means."""
    found = [row for row in describe(items=True) if contains in row[0]]
    if not found:
        raise ConfigError(f"no key contains '{contains}': `persona-ray config keys` lists them all")
    print_keys(found)


@app.command()
def show(config: ConfigPath = None, overrides: Overrides = None) -> None:
    """The whole configuration as YAML, defaults included."""
    tree = read(config, overrides).model_dump(mode="json")
    typer.echo(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True), nl=False)
