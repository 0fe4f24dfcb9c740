"""`persona-ray device`: what a phone or switch does with the sets, as a reference."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import CaFile, ClientCert, ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.serving.screening.device import Found, NotFound, Synced

app = typer.Typer(
    no_args_is_help=True,
    help="The reference device: fetch sets and voice libraries of a screening service, and look "
    "numbers up in them.",
)
Url = Annotated[str, typer.Option(help="The service.")]
Key = Annotated[str, typer.Option(envvar="PERSONA_RAY_KEY", help="A key with the scope device.")]
File = Annotated[Path, typer.Option("--file", help="What the device keeps.")]
Trust = Annotated[
    str,
    typer.Option(
        metavar="KEY_ID",
        help="The service's signing key, as `persona-ray screening sets key` shows it there. "
        "Without it, the key of the first contact is trusted from then on.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
_URL = "http://127.0.0.1:8600"
_FILE = Path("device.sqlite")


@app.command()
def sync(
    url: Url = _URL,
    key: Key = "",
    file: File = _FILE,
    own: Annotated[bool, typer.Option("--own", help="The user's own numbers, too.")] = False,
    trust: Trust = "",
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Take everything anew, even from a service that is behind this device, such as "
            "one restored from a backup.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch what has changed since the last time; everything, where that is long ago.

    Nothing is taken that the service's key has not signed, or that leads back. What was here before
    stands until then.
    """
    from persona_ray.serving.screening.device import SHARED, Device, Wanted
    from persona_ray.serving.screening.device_store import DeviceStore
    from persona_ray.serving.screening.statements import Kind
    from persona_ray.serving.trust import trusting

    wanted = (*SHARED, Wanted(Kind.NUMBERS, own=True)) if own else SHARED
    store = DeviceStore(file)
    device = Device(url, store, key, trust=trust, tls=trusting(ca_file, client_cert))
    is_first = store.trusted() is None and not trust
    try:
        done = device.sync(wanted, fresh)
        trusted = store.trusted()
        counts = {one.name: store.count(one.name) for one in done}
    finally:
        device.close()
        store.close()
    if is_first and trusted is not None:
        typer.echo(f"trusting key {trusted.key_id} from now on: compare it", err=True)
    if as_json:
        typer.echo(json.dumps([asdict(one) | {"entries": counts[one.name]} for one in done]))
        return
    for one in done:
        typer.echo(f"{one.name}: {_story(one)}, {counts[one.name]} entries")


@app.command()
def lookup(
    number: Annotated[str, typer.Argument(help="The caller's number.")],
    ask: Annotated[
        bool,
        typer.Option(
            "--ask", help="Ask the service by the first bits of the number's hash, nothing more."
        ),
    ] = False,
    url: Url = _URL,
    key: Key = "",
    file: File = _FILE,
    trust: Trust = "",
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    as_json: AsJson = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """What the sets say of a number: by default those on this device, without asking anybody."""
    from persona_ray.inference.screening.numbers import normalise
    from persona_ray.serving.screening.device import Device, NotFound
    from persona_ray.serving.screening.device_store import DeviceStore
    from persona_ray.serving.trust import trusting

    normal = normalise(number, read(config, overrides).screening.region)
    found: Found | NotFound = NotFound()
    if normal:
        store = DeviceStore(file)
        device = Device(url, store, key, trust=trust, tls=trusting(ca_file, client_cert))
        try:
            found = device.ask(normal) if ask else device.look_up(normal)
        finally:
            device.close()
            store.close()
    if as_json:
        typer.echo(json.dumps(None if isinstance(found, NotFound) else asdict(found)))
    elif isinstance(found, NotFound):
        typer.echo("not listed")
    else:
        parts = [found.payload.get(name) for name in ("standing", "category", "name")]
        said = ", ".join(str(part) for part in parts if part)
        typer.echo(f"{said} ({found.library}, version {found.version})")


def _story(done: Synced) -> str:
    if done.before == done.version and not done.snapshot:
        return f"version {done.version}, nothing new"
    how = "a snapshot" if done.snapshot else f"{done.changes} changes"
    since = "" if done.before is None else f" from version {done.before}"
    return f"version {done.version}{since} by {how}"
