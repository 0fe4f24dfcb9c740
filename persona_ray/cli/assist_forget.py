"""`persona-ray assist forget`: all that is kept of an agent's or a customer's calls is deleted."""

from __future__ import annotations

from typing import Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, confirm, read
from persona_ray.errors import ConfigError


def forget(
    customer: Annotated[str, typer.Option(help="Id of a customer.")] = "",
    agent: Annotated[str, typer.Option(help="Id of an agent: the name of the key.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Forget a customer or an agent.

    That is: calls with transcripts, suggestions, pushes, feedback and samples; of a customer all
    that any application keeps in the store. A ranker that learned of them stays until the next."""
    from persona_ray.store import open_audited
    from persona_ray.store.audit import about_person, note_forgotten

    if bool(customer) == bool(agent):
        raise ConfigError("name one person: --customer ID or --agent ID")
    run = read(config, overrides)
    with open_audited(run) as store:
        kind, name = ("customer", customer) if customer else ("agent", agent)
        confirm(f"delete {kind} {name} from {store.url} for good?", yes)
        about = about_person(store, kind, name)
        if customer:
            calls = store.forget_customer(customer).assist_calls
        else:
            calls = store.assist_calls.forget_agent(agent)
        note_forgotten(store, "assist.forget", about, calls)
    typer.echo(f"forgotten: {calls} calls")
