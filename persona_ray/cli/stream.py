"""`persona-ray stream`: a recording as a live call."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.serving.live.protocol import AnyEvent


def stream(
    audio: Annotated[str, typer.Argument(help="A recording: path or URI (wav, flac, ogg, mp3).")],
    url: Annotated[str, typer.Option(help="The service.")] = "ws://127.0.0.1:8600",
    key: Annotated[
        str, typer.Option(envvar="PERSONA_RAY_KEY", help="A key with the scope live.")
    ] = "",
    channel: Annotated[int, typer.Option(help="The customer's channel, from 0.")] = 0,
    speed: Annotated[
        float, typer.Option(min=0, help="Times real time; 0: as fast as it is taken.")
    ] = 1.0,
    call_id: Annotated[str, typer.Option(help="Default: a new one.")] = "",
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

    sound = read_audio(audio)
    if not 0 <= channel < sound.channels:
        raise ConfigError(
            f"{audio} has {sound.channels} channel(s), counted from 0: --channel {channel} is not "
            "among them"
        )
    samples, rate_hz = sound.samples[channel], sound.sample_rate_hz
    if not 8_000 <= rate_hz <= 48_000:
        samples, rate_hz = resample(samples, rate_hz, 16_000), 16_000
    client = LiveClient(
        url, call_id or f"stream-{uuid.uuid4().hex}", Sound(sample_rate_hz=rate_hz), key=key
    )
    payloads = paced(samples, rate_hz, speed)
    if as_json:

        def say(event: AnyEvent) -> None:
            typer.echo(json.dumps(event.model_dump(), ensure_ascii=False))

        asyncio.run(client.stream(payloads, say))
        return

    from rich.live import Live

    from persona_ray.cli.live_view import LiveView

    with Live(transient=True, refresh_per_second=8) as screen:
        view = LiveView(screen)
        asyncio.run(client.stream(payloads, view.show))
