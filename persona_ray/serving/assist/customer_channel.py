"""Pushes to customers, through whatever reaches them.

An adapter takes a push and says whether it has it. The one that is here POSTs to
`assist.push.webhook`, signed as `serving.signed_posts` says: an answer of 2xx acknowledges it. A
push has one sender, and its `push_id` tells the receiver what it has already.
"""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from persona_ray.errors import StoreError
from persona_ray.serving.assist.news import EVERYBODY
from persona_ray.serving.secret import kept_secret
from persona_ray.serving.signed_posts import NotAskedError, check_url, post
from persona_ray.store.assist.records import CUSTOMER, PushState
from persona_ray.watch import spans
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.config.assist import PushConfig
    from persona_ray.serving.assist.news import News
    from persona_ray.serving.metrics import Metrics
    from persona_ray.store.assist.pushes import PushRepository
    from persona_ray.store.assist.records import CustomerPush

_AGAIN_AFTER_S = 0.25
_AT_ONCE = 16


class CustomerChannel(Protocol):
    """Whatever reaches customers."""

    async def send(self, push: CustomerPush) -> bool:
        """Whether it was acknowledged, before it expired."""
        ...


class WebhookChannel:
    """Implements CustomerChannel by signed POSTs."""

    def __init__(self, config: PushConfig, key: bytes) -> None:
        """Raises ConfigError for a webhook that is no address."""
        check_url(config.webhook, "assist.push.webhook")
        self._config = config
        self._key = key

    async def send(self, push: CustomerPush) -> bool:
        """See CustomerChannel."""
        said, attempt = "", 0
        for attempt in range(1, self._config.webhook_tries + 1):
            left_s = (push.push.expires_at - datetime.now(UTC)).total_seconds()
            if left_s <= 0:
                said = "late"
                break
            try:
                answer = await post(
                    self._config.webhook,
                    customer_body(push),
                    self._key,
                    private=self._config.webhook_private,
                    timeout_s=min(left_s, self._config.webhook_timeout_s),
                )
            except NotAskedError as error:
                said = str(error)
                break
            if answer.taken:
                log_event("push to a customer", state="done", attempt=attempt)
                return True
            said = answer.said
            if not answer.passing:
                break
            await asyncio.sleep(_AGAIN_AFTER_S)
        log_event("push to a customer", state="failed", code=said, attempt=attempt)
        return False


def customer_body(push: CustomerPush) -> dict[str, Any]:
    """What the receiver is told: the large script alone."""
    script = json.loads(push.body)["scripts"][0]
    return {
        "type": "push",
        "push_id": push.push.push_id,
        "call_id": push.push.call_id,
        "customer_id": push.customer_id,
        "script_id": script["script_id"],
        "text": script["text"],
        "expires_at": push.push.expires_at.isoformat(),
    }


def webhook_channel(config: RunConfig) -> WebhookChannel:
    """As configured. Raises ConfigError."""
    folder = config.workspace / "keys" / "assist"
    return WebhookChannel(config.assist.push, kept_secret(folder, "webhooks"))


class CustomerPushes:
    """Sends what waits, several at once. Every replica does; each push is one's alone."""

    def __init__(
        self, pushes: PushRepository, channel: CustomerChannel, news: News, metrics: Metrics
    ) -> None:
        self._pushes = pushes
        self._channel = channel
        self._news = news
        self._metrics = metrics
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def run(self) -> None:
        """Until cancelled."""
        with self._news.listening(EVERYBODY) as come:
            async with asyncio.TaskGroup() as group:
                while True:
                    come.clear()
                    while waiting := await self._waiting():
                        for push in waiting:
                            group.create_task(self._send(push))
                    await come.wait()

    async def _waiting(self) -> list[CustomerPush]:
        """Those that this replica sends."""
        try:
            found = await asyncio.to_thread(self._pushes.for_customers, datetime.now(UTC))
            return [push for push in found if await self._comes_to(push, PushState.SENT)]
        except StoreError as error:
            log_exception("pushes to customers wait for the database", error)
            return []

    async def _send(self, push: CustomerPush) -> None:
        try:
            async with self._room:
                with spans.work("push to a customer"):
                    taken = await self._channel.send(push)
            await self._comes_to(push, PushState.SEEN if taken else PushState.FAILED)
        except Exception as error:
            # Others are sent all the same.
            log_exception("a push to a customer failed", error)

    async def _comes_to(self, push: CustomerPush, state: PushState) -> bool:
        push_id, now = push.push.push_id, datetime.now(UTC)
        new = await asyncio.to_thread(self._pushes.comes_to, push_id, state, now, CUSTOMER)
        if new:
            self._metrics.pushes(state)
        return new
