"""Pushes to customers: signed, sent by one replica, acknowledged, given up in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from persona_ray.apps.assist import check
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import ConfigError
from persona_ray.serving.secret import kept_secret
from persona_ray.serving.signed_posts import HEADER, verify
from persona_ray.store import Store
from persona_ray.store.assist.records import PushState
from tests.unit.serving.assist.parts import Fakes, key_of
from tests.unit.serving.assist.pushed import application, becomes, begin, device, push
from tests.unit.serving.screening.test_webhooks import Receiver


@pytest.fixture
def receive() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*statuses: int) -> Receiver:
        made.append(Receiver(list(statuses)))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def serve(assist: RunConfig, store: Store, fake: Fakes) -> Callable[..., TestClient]:
    """The application with customers behind a URL."""

    def made(url: str, private: bool = True) -> TestClient:
        settings = ["channel=customer", f"webhook={url}", f"webhook_private={private}"]
        config = load_config(
            None,
            [f"workspace={assist.workspace}", *(f"assist.push.{one}" for one in settings)],
        )
        return TestClient(application(config, store, fake))

    return made


def test_a_push_reaches_the_customer_once_and_is_acknowledged(
    serve: Callable[..., TestClient],
    receive: Callable[..., Receiver],
    store: Store,
    assist: RunConfig,
    key: dict[str, str],
) -> None:
    receiver = receive(503, 204)
    with serve(receiver.url) as client, serve(receiver.url), device(client, key) as desk:
        push_id = push(store, begin(store), channel="customer")
        assert becomes(lambda: store.pushes.get(push_id).state, PushState.SEEN)
        # The agent sees what the customer was sent.
        assert desk.until("push")["push_id"] == push_id
    assert len(receiver.got) == 2
    headers, body = receiver.got[-1]
    secret = kept_secret(assist.workspace / "keys" / "assist", "webhooks")
    assert verify(secret, body, headers[HEADER], time.time())
    told = json.loads(body)
    assert (told["push_id"], told["customer_id"], told["text"]) == (push_id, "c1", "话术s1")


def test_what_the_channel_does_not_take_has_failed(
    serve: Callable[..., TestClient], receive: Callable[..., Receiver], store: Store
) -> None:
    away, refusing = receive(204), receive(410)
    away.close()
    call = begin(store)

    def failed(receiver: Receiver) -> bool:
        with serve(receiver.url):
            push_id = push(store, call, channel="customer")
            return becomes(lambda: store.pushes.get(push_id).state, PushState.FAILED)

    assert failed(refusing)
    assert failed(away)
    # What will not get better is tried once.
    assert len(refusing.got) == 1


def test_private_addresses_are_not_asked_and_late_pushes_not_sent(
    serve: Callable[..., TestClient], receive: Callable[..., Receiver], store: Store
) -> None:
    receiver = receive(204)
    call = begin(store)
    late = push(store, call, left_s=-10.0, channel="customer")
    private = push(store, call, channel="customer")
    with serve(receiver.url, private=False):
        assert becomes(lambda: store.pushes.get(private).state, PushState.FAILED)
        assert becomes(lambda: store.pushes.get(late).state, PushState.LATE)
    assert receiver.got == []


def test_a_channel_without_an_address_is_refused_at_the_start() -> None:
    with pytest.raises((ConfigError, ValidationError), match="webhook"):
        load_config(None, ["assist.push.channel=customer"])
    config = load_config(None, ["assist.push.channel=customer", "assist.push.webhook=nothing"])
    with pytest.raises(ConfigError, match=r"assist\.push\.webhook"):
        check(config)


def test_an_agents_device_does_not_acknowledge_for_a_customer(
    serve: Callable[..., TestClient], receive: Callable[..., Receiver], store: Store
) -> None:
    receiver = receive(503)
    headers = key_of(store)
    with serve(receiver.url) as client, device(client, headers) as desk:
        push_id = push(store, begin(store), channel="customer")
        desk.until("push")
        desk.socket.send_json({"type": "seen", "push_id": push_id})
        assert becomes(lambda: store.pushes.get(push_id).state, PushState.FAILED)
