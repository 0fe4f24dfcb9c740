"""The client over a real socket: lines are cut, and every sentence comes once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from persona_ray.cli.app import app as commands
from persona_ray.config import RunConfig
from persona_ray.errors import RequestError, ServiceLostError
from persona_ray.serving.in_thread import served_in_thread
from persona_ray.serving.live.client import LiveClient, live_url, paced
from persona_ray.serving.live.protocol import Sentence, Sound
from persona_ray.store import Store
from tests.unit.serving.live.lines import Heard, Listener, application
from tests.unit.serving.live.sounds import talk

TALK = talk((1.2, 0.4), (0.8, 1.5), (2.0, 1.2), (0.5, 3.0), (1.0, 0.2))

pytestmark = pytest.mark.usefixtures("loud")


@pytest.fixture
def port(config: RunConfig, store: Store) -> Iterator[int]:
    """Of a server on this machine."""
    with served_in_thread(application(config, Listener(), store)) as address:
        yield int(address.rpartition(":")[2])


@contextlib.asynccontextmanager
async def cutting(port: int, lengths: list[int]) -> AsyncIterator[int]:
    """A port that hands on to `port`; its first lines break after so many bytes."""
    left, tasks = list(lengths), set()

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: float) -> None:
        count = 0
        while count < most and (data := await reader.read(4096)):
            count += len(data)
            writer.write(data)
            await writer.drain()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = left.pop(0) if left else float("inf")
        there, back = await asyncio.open_connection("127.0.0.1", port)
        both = [
            asyncio.create_task(pipe(reader, back, most)),
            asyncio.create_task(pipe(there, writer, float("inf"))),
        ]
        tasks.update(both)
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for one in both:
            one.cancel()
        for end in (writer, back):
            end.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def streamed(url: str, call_id: str, token: str) -> tuple[Heard, LiveClient]:
    heard = Heard()
    client = LiveClient(url, call_id, Sound(), key=token)
    await client.stream(paced(TALK, 8000, speed=0), heard.events.append)
    return heard, client


@pytest.mark.anyio
@pytest.mark.parametrize("lengths", [[30_000], [400, 500, 9000], [50_000, 60_000, 70_000, 40_000]])
async def test_lines_that_are_cut_lose_and_repeat_nothing(
    port: int, token: str, lengths: list[int]
) -> None:
    whole, _ = await streamed(f"http://127.0.0.1:{port}", "unbroken", token)
    async with cutting(port, lengths) as shaky:
        heard, client = await streamed(f"ws://127.0.0.1:{shaky}/v1/live", "shaky", token)
    assert client.connections > 1
    numbers = [event.seq for event in heard.events if isinstance(event, Sentence)]
    assert numbers == list(range(1, len(whole.sentences) + 1))
    assert heard.results == whole.results


@pytest.mark.anyio
async def test_who_is_refused_or_finds_nobody_is_told(port: int) -> None:
    with pytest.raises(RequestError, match="there is no such key") as caught:
        await streamed(f"http://127.0.0.1:{port}", "k", "pr_a_b")
    assert (caught.value.code, caught.value.status) == ("key.unknown", 401)
    nobody = LiveClient("127.0.0.1:1", "k", Sound(), patience_s=0.05)
    with pytest.raises(ServiceLostError, match=r"127\.0\.0\.1:1/v1/live: .*gave up after 0\.05 s"):
        await nobody.stream(paced(TALK, 8000, 0), lambda _: None)


@pytest.mark.anyio
async def test_sound_that_fails_to_come_is_an_error(port: int, token: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield bytes(1600)
        raise ValueError("the microphone is gone")

    client = LiveClient(f"127.0.0.1:{port}", "k", Sound(), key=token)
    with pytest.raises(ValueError, match="microphone"):
        await client.stream(broken(), lambda _: None)


def test_addresses_of_the_service_are_taken_too() -> None:
    assert live_url("https://host:1") == "wss://host:1/v1/live"
    assert live_url("host:1/") == "ws://host:1/v1/live"
    assert live_url("ws://host/v1/twilio") == "ws://host/v1/twilio"


def test_the_command_prints_sentences_and_colours(port: int, token: str, tmp_path: Path) -> None:
    file = tmp_path / "call.wav"
    soundfile.write(file, np.stack([np.zeros_like(TALK), TALK], axis=1), 8000)
    arguments = ["stream", str(file), "--url", f"127.0.0.1:{port}", "--channel", "1"]
    arguments += ["--speed", "0", "--key", token]
    shown = CliRunner().invoke(commands, arguments)
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("话") == 5
    assert "together" in shown.output
    lines = CliRunner().invoke(commands, [*arguments, "--json"])
    assert lines.output.count('"type": "sentence"') == 5
    wrong = CliRunner().invoke(commands, [*arguments[:5], "7"])
    assert "--channel 7" in str(wrong.exception)
