"""Options that every command shares."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError
from persona_ray.watch.process import watch_job

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
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        envvar="PERSONA_RAY_CA_FILE",
        help="Certificates (PEM) of the CAs to trust, instead of the machine's, for https and wss.",
    ),
]
ClientCert = Annotated[
    Path | None,
    typer.Option(
        "--client-cert",
        envvar="PERSONA_RAY_CLIENT_CERT",
        help="Certificate and key (one PEM file) to show a service that asks for one.",
    ),
]
PROMOTE = "Make it champion, better than the present one or not."
Promote = Annotated[bool, typer.Option("--promote", help=PROMOTE)]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Start over instead of going on with what is there.")
]


def read(config: Path | None, overrides: list[str] | None) -> RunConfig:
    """The run configuration of a command's two options. Logs are written as it says from here
    on."""
    loaded = load_config(config, overrides or ())
    watch_job(loaded.watching)
    return loaded


def confirm(question: str, yes: bool) -> None:
    """Ask before something goes for good, unless `yes`. Raises ConfigError where nobody can be
    asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody can be asked here: say --yes")
    typer.confirm(question, abort=True)


_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
_STOPPING = """\
stopping:
  `ray job stop` asks a job to end, and kills it 3 seconds later: too early for the checkpoint of a
  large model. RAY_JOB_STOP_WAIT_TIME_S makes these more. Ray reads it in the process that starts
  the job, so that it must be given with the job, as above, or to `ray start` on the head node, for
  all jobs; exported where `ray job stop` is typed it does nothing.
"""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a job script was called with."""

    config: RunConfig
    fresh: bool
    promote: bool


def job_options(
    description: str, script: str, resumable: bool = True, promotes: bool = False
) -> JobOptions:
    """The options of a job script: `--config` (default: the YAML beside `script`), `--set`, for
    what is `resumable` `--fresh`, and for what `promotes` a model `--promote`. `description` is the
    first part of its help."""
    beside = Path(script).with_suffix(".yaml")
    parser = argparse.ArgumentParser(
        description=description,
        epilog=_STOPPING if _WAIT in description else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--config",
        "-c",
        type=Path,
        default=beside,
        metavar="FILE",
        help=f"YAML with what differs from the defaults (default: {beside.name} beside this "
        "script); `persona-ray config keys` explains every key",
    )
    parser.add_argument(
        "--set",
        "-s",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="override one key, such as launch.workers=4; may be given many times",
    )
    if resumable:
        parser.add_argument(
            "--fresh",
            action="store_true",
            help="start over instead of going on with what the workspace holds",
        )
    if promotes:
        parser.add_argument("--promote", action="store_true", help=PROMOTE)
    arguments = parser.parse_args()
    config = read(arguments.config, arguments.overrides)
    return JobOptions(config, resumable and arguments.fresh, promotes and arguments.promote)


def customer_channel(audio: str, channels: int, channel: int | None) -> int:
    """The customer's of so many in `audio`. Where several are there, nobody guesses whose colour is
    wanted: raises ConfigError."""
    if channel is None:
        if channels > 1:
            raise ConfigError(
                f"{audio} has {channels} channels: name the customer's, --channel 0 or --channel 1"
            )
        return 0
    if not 0 <= channel < channels:
        raise ConfigError(
            f"{audio} has {channels} channel(s), counted from 0: --channel {channel} is not "
            "among them"
        )
    return channel
