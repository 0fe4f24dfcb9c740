"""Who does not read what is sent is left, and loses partial texts before that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from persona_ray.errors import RequestError
from persona_ray.serving.live.connection import Line, converse, part
from persona_ray.serving.live.outbox import Outbox
from persona_ray.serving.live.protocol import Ack, AnyEvent, Failed, Partial


def event(kind: type[Any], seq: int = 0) -> Any:
    if kind is Partial:
        return Partial(seq=seq, start_s=0.0, text="...")
    if kind is Ack:
        return Ack(seq=seq, frame=seq, received=seq)
    return Failed.model_validate(
        {"seq": seq, "error": {"code": "c", "message": "m", "trace_id": "t"}, "start_s": 0.0}
    )


def test_partial_texts_give_way_to_results_until_there_is_no_room() -> None:
    box = Outbox[AnyEvent](3)
    for kind, seq in ((Failed, 1), (Partial, 1), (Ack, 1), (Partial, 2), (Ack, 2)):
        box.put(event(kind, seq))
    box.put(event(Failed, 3))
    box.put(event(Partial, 3))
    with pytest.raises(RequestError, match="3 events wait") as caught:
        box.put(event(Failed, 4))
    assert caught.value.status == 429
    assert [(type(one), one.seq) for one in box.rest()] == [(Failed, 1), (Ack, 2), (Failed, 3)]


class DeafSocket:
    """A client that reads nothing."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, str]] = []

    async def send_text(self, _: str) -> None:
        await asyncio.sleep(3600)

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(3600)
        raise AssertionError

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))


class Talkative:
    """A call with more to say than anybody reads."""

    ended = False

    def __init__(self, box: Outbox[AnyEvent]) -> None:
        self.box = box

    async def work(self) -> None:
        for seq in range(1, 100):
            self.box.put(event(Failed, seq))
            await asyncio.sleep(0)

    def cancel(self) -> None:
        return


@pytest.mark.anyio
async def test_a_client_that_reads_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("persona_ray.serving.live.connection._LAST_WORDS_S", 0.01)
    socket, box = DeafSocket(), Outbox[AnyEvent](8)
    deaf: Any = Line(socket, 60.0)  # type: ignore[arg-type]
    call: Any = Talkative(box)
    with pytest.raises(RequestError, match="8 events wait") as caught:
        await converse(deaf, call, box)
    await part(deaf, box, 9, caught.value)
    assert [code for code, _ in socket.closed] == [4429]


@pytest.mark.anyio
async def test_a_line_that_takes_no_event_is_left() -> None:
    box = Outbox[AnyEvent](8)
    box.put(event(Ack))
    call: Any = Talkative(Outbox[AnyEvent](1000))
    with pytest.raises(RequestError, match=r"not read for 0\.02 s"):
        await converse(Line(DeafSocket(), 0.02), call, box)  # type: ignore[arg-type]
