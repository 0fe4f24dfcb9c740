"""Options that every command shares."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Annotated

import typer

from persona_ray.config import RunConfig, load_config

ConfigPath = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="YAML with what differs from the defaults (`persona-ray config keys`).",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", "-s", metavar="KEY=VALUE", help="Override one key: training.epochs=3."),
]


def read(config: Path | None, overrides: list[str] | None) -> RunConfig:
    """The run configuration of a command's two options."""
    return load_config(config, overrides or ())


def job_config(description: str, beside: str) -> RunConfig:
    """The configuration of a job script: `--config` (default: the YAML beside it), `--set`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", type=Path, default=Path(beside).with_suffix(".yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    arguments = parser.parse_args()
    return load_config(arguments.config, arguments.overrides)
