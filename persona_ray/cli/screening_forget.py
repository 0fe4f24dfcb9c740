"""`persona-ray screening forget`: all that is kept of a person is deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, confirm, read
from persona_ray.errors import ConfigError


def forget(
    user: Annotated[str, typer.Option(help="Id of a user: whom calls were for.")] = "",
    number: Annotated[str, typer.Option(help="A number that called.")] = "",
    voice: Annotated[str, typer.Option(help="Id of a voice of the libraries.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Forget a person, wherever the person stands.

    That is: calls with recordings, notices and corrections, numbers, voices, reports, appeals and
    their histories, and what `demo screening` shows of the calls. A running service knows at once.
    Devices are told to remove what stood in their sets; that word goes after
    screening.distribution.keep_versions_days."""
    from persona_ray.apps.privacy.keepers import forget_shown
    from persona_ray.inference.screening.reporting import ReportDesk, Whose
    from persona_ray.serving.screening.recordings import Recordings
    from persona_ray.store import open_audited

    named = [
        (by, name)
        for by, name in ((Whose.USER, user), (Whose.NUMBER, number), (Whose.VOICE, voice))
        if name
    ]
    if len(named) != 1:
        raise ConfigError("name one person: --user ID, --number NUMBER or --voice ID")
    by, name = named[0]
    run = read(config, overrides)
    with open_audited(run) as store:
        confirm(f"delete {by.value} {name} from {store.url} for good?", yes)
        desk = ReportDesk(store, run.screening)
        forget_shown(run.workspace, desk.calls_of(**{by.value: name}).calls)
        done = desk.forget(by, name, Recordings(run.workspace).delete)
    typer.echo(f"forgotten: {done.calls} calls, {done.recordings} recordings, {done.rows} rows")
