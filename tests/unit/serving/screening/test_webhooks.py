"""Webhooks: signed, tried again, never led astray."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from persona_ray.config import load_config
from persona_ray.errors import ConfigError
from persona_ray.serving.screening.webhooks import Webhooks, check_urls
from persona_ray.serving.signed_posts import HEADER, is_public, signature, verify
from persona_ray.store import Store
from persona_ray.store.screening.call_records import NewCall, StoredVerdict

pytestmark = pytest.mark.anyio
KEY = b"k" * 32


class Receiver:
    """Answers with one status after the other, the last one for ever."""

    def __init__(self, statuses: list[int], port: int = 0) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
                status = statuses.pop(0) if len(statuses) > 1 else statuses[0]
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("location", receiver.url + "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*statuses: int) -> Receiver:
        made.append(Receiver(list(statuses)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def due(store: Store, *urls: str) -> None:
    """A verdict that these are to hear of."""
    new = NewCall(
        user_id="li",
        call_id="k1",
        number="",
        channel="telephone",
        at=datetime.now(UTC),
        decision="screen",
        source={},
    )
    call, _ = store.screened_calls.hand_over(new)
    body = {"category": "loans"}
    verdict = StoredVerdict(
        outcome="screened", standing="", category="loans", body={}, notice=body, webhooks=urls
    )
    store.screened_calls.conclude(call, verdict)


def hooks(store: Store, private: bool = True) -> Webhooks:
    def body_of(delivery: Any) -> dict[str, Any]:
        return dict(delivery.notice.body)

    return Webhooks(store.screening_notices, KEY, private, body_of)


def state(store: Store) -> tuple[str, int, str]:
    ((_, found, attempts, said),) = store.screening_notices.deliveries("li", "k1")
    return found, attempts, said


async def test_a_notice_arrives_signed(store: Store, receive: Callable[..., Receiver]) -> None:
    receiver = receive(204)
    due(store, receiver.url + "/hook?a=1")
    assert await hooks(store).send_next()
    assert not await hooks(store).send_next()
    ((headers, body),) = receiver.got
    assert body == b'{"category": "loans"}'
    now = time.time()
    assert verify(KEY, body, headers[HEADER], now)
    assert headers["host"] == receiver.url.removeprefix("http://")
    # Changed, late, or another's.
    assert not verify(KEY, body + b" ", headers[HEADER], now)
    assert not verify(KEY, body, headers[HEADER], now + 301)
    assert not verify(b"x" * 32, body, headers[HEADER], now)
    assert not verify(KEY, body, "t=,v1=", now)
    assert not verify(KEY, body, f"t={10**400},v1=0", now)
    assert signature(KEY, body, int(now)) != signature(KEY, body, int(now) + 1)
    assert state(store) == ("done", 1, "204")


async def test_one_that_fails_is_tried_again_later_and_not_for_ever(
    store: Store, receive: Callable[..., Receiver]
) -> None:
    receiver = receive(503)
    due(store, receiver.url)
    now = datetime.now(UTC)
    # Between three quarters of a wait and all of it, the receivers that were away are spread.
    for wait_s in (5, 20, 80, 320, 1280, 3600, 3600):
        assert await hooks(store).send_next(now)
        assert not await hooks(store).send_next(now + timedelta(seconds=0.74 * wait_s))
        now += timedelta(seconds=wait_s + 1)
    assert await hooks(store).send_next(now)
    assert len(receiver.got) == 8
    assert state(store) == ("given_up", 8, "503")
    assert not await hooks(store).send_next(now + timedelta(days=1))


@pytest.mark.parametrize("status", [302, 400, 410])
async def test_what_will_not_get_better_is_given_up(
    store: Store, receive: Callable[..., Receiver], status: int
) -> None:
    receiver = receive(status)
    due(store, receiver.url)
    assert await hooks(store).send_next()
    # A redirect is not followed.
    assert len(receiver.got) == 1
    assert state(store) == ("given_up", 1, str(status))


async def test_one_that_is_away_is_tried_again(
    store: Store, receive: Callable[..., Receiver]
) -> None:
    receiver = receive(204)
    due(store, receiver.url)
    receiver.close()
    assert await hooks(store).send_next()
    found, attempts, said = state(store)
    assert (found, attempts) == ("waiting", 1)
    assert "Connect" in said


async def test_private_addresses_are_not_asked(
    store: Store, receive: Callable[..., Receiver]
) -> None:
    receiver = receive(204)
    due(store, receiver.url)
    assert await hooks(store, private=False).send_next()
    assert receiver.got == []
    assert state(store) == ("given_up", 1, "private address")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("127.0.0.1", False),
        ("10.0.0.5", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("::ffff:10.0.0.5", False),
        ("2002:0a00:0005::", False),
        ("64:ff9b::10.0.0.5", False),
        ("64:ff9b::93.184.216.34", True),
        ("224.0.0.1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_two_replicas_send_it_once(store: Store, receive: Callable[..., Receiver]) -> None:
    receiver = receive(204)
    due(store, receiver.url)
    await asyncio.gather(*(hooks(store).send_next() for _ in range(4)))
    assert len(receiver.got) == 1


def test_a_sender_whose_time_ran_out_changes_nothing(store: Store) -> None:
    due(store, "http://127.0.0.1:9/")
    now = datetime.now(UTC)
    late = store.screening_notices.claim(now, 1)
    other = store.screening_notices.claim(now + timedelta(seconds=2), 1)
    assert late is not None
    assert other is not None
    store.screening_notices.delivered(other, "204")
    store.screening_notices.give_up(late, "no answer")
    assert state(store)[0] == "done"


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "nothing", "https://me:secret@example.com/", "https://a:80443/", "http://[::1/"],
)
def test_addresses_are_checked_at_the_start(url: str) -> None:
    with pytest.raises(ConfigError, match=r"screening\.webhooks") as caught:
        check_urls(load_config(None, [f"screening.webhooks=[{url!r}]"]).screening)
    assert "secret" not in str(caught.value)
