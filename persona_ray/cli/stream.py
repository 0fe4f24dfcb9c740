"""`persona-ray stream`: a recording as a live call."""

from __future__ import annotations

import asyncio
import json
import uuid
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import CaFile, ClientCert, customer_channel
from persona_ray.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from persona_ray.serving.live.client import LiveClient
    from persona_ray.serving.live.protocol import AnyEvent

_KEY = "name one by --key or PERSONA_RAY_KEY; `persona-ray keys create NAME --scope live` makes it"
_NO_KEY = frozenset({401, 403})


def stream(
    audio: Annotated[str, typer.Argument(help="A recording: path or URI (wav, flac, ogg, mp3).")],
    url: Annotated[str, typer.Option(help="The service.")] = "ws://127.0.0.1:8600",
    key: Annotated[
        str, typer.Option(envvar="PERSONA_RAY_KEY", help="A key with the scope live.")
    ] = "",
    channel: Annotated[
        int | None,
        typer.Option(help="The customer's channel, from 0; mono needs none."),
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="Times real time; 0: as fast as it is taken.")
    ] = 1.0,
    call_id: Annotated[str, typer.Option(help="Default: a new one.")] = "",
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every event, one a line.")] = False,
) -> None:
    """Stream a recording to a running service, and see sentences and colours as they come.

    The line may break: it is taken up again where it was.

    Example: `persona-ray stream call.ogg --channel 1 --speed 4`
    """
    from persona_ray.audio.decode import read_audio
    from persona_ray.audio.resample import resample
    from persona_ray.serving.live.client import LiveClient, paced
    from persona_ray.serving.live.protocol import Sound
    from persona_ray.serving.trust import trusting

    sound = read_audio(audio)
    channel = customer_channel(audio, sound.channels, channel)
    samples, rate_hz = sound.samples[channel], sound.sample_rate_hz
    if not 8_000 <= rate_hz <= 48_000:
        samples, rate_hz = resample(samples, rate_hz, 16_000), 16_000
    notice = _Notice(url)
    client = LiveClient(
        url,
        call_id or f"stream-{uuid.uuid4().hex}",
        Sound(sample_rate_hz=rate_hz),
        key=key,
        on_break=notice.broken,
        trust=trusting(ca_file, client_cert),
    )
    follow = partial(_follow, client, paced(samples, rate_hz, speed), notice)
    if as_json:
        follow(lambda event: typer.echo(json.dumps(event.model_dump(), ensure_ascii=False)))
        return

    from rich.live import Live

    from persona_ray.cli.live_view import LiveView

    with Live(transient=True, refresh_per_second=8) as screen:
        follow(LiveView(screen).show)


def _follow(
    client: LiveClient,
    payloads: AsyncIterator[bytes],
    notice: _Notice,
    show: Callable[[AnyEvent], None],
) -> None:
    """To the call's end. Raises RequestError, which says where a key comes from."""

    def on_event(event: AnyEvent) -> None:
        notice.told = False
        show(event)

    try:
        asyncio.run(client.stream(payloads, on_event))
    except RequestError as error:
        if error.status not in _NO_KEY:
            raise
        raise RequestError(error.code, f"{error}: {_KEY}", status=error.status) from None


class _Notice:
    """Says once for each break that there is no line: the client tries again in silence."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.told = False

    def broken(self, why: str) -> None:
        if not self.told:
            self.told = True
            typer.echo(
                f"no line to {self._url} ({why}), trying again: is `persona-ray serve` running?",
                err=True,
            )
