"""What the application does beside requests: tells devices and customers, drops what is too late,
deletes what is old. Every replica does all of it; the store sees to it that each thing is done
once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from persona_ray.serving.assist.customer_channel import CustomerPushes, webhook_channel
from persona_ray.store.assist.records import CUSTOMER, PushState
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.serving.assist.news import News
    from persona_ray.serving.assist.services import AssistServices

_DROP_EVERY_S = 2.0
_EXPIRE_EVERY_S = 3600.0
# A push that just left in time may not be noted yet.
_GRACE = timedelta(seconds=2)


@asynccontextmanager
async def assist_housekeeping(services: AssistServices, news: News) -> AsyncIterator[None]:
    """While the application is up."""
    store, config = services.store, services.config.assist
    keep = timedelta(days=config.records.keep_days)

    async def drop() -> None:
        dropped = await asyncio.to_thread(store.pushes.drop_late, datetime.now(UTC) - _GRACE)
        if dropped:
            services.metrics.pushes(PushState.LATE, dropped)

    async def expire() -> None:
        await asyncio.to_thread(store.assist_calls.expire, datetime.now(UTC) - keep)

    tasks = [
        asyncio.create_task(news.run()),
        asyncio.create_task(_every(_DROP_EVERY_S, drop)),
        asyncio.create_task(_every(_EXPIRE_EVERY_S, expire)),
    ]
    if config.push.channel == CUSTOMER:
        channel = webhook_channel(services.config)
        sender = CustomerPushes(store.pushes, channel, news, services.metrics)
        tasks.append(asyncio.create_task(sender.run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await work()
        except Exception as error:
            # It goes on: what is late is late for the next look, too.
            log_exception("housekeeping of assistance failed", error)
        await asyncio.sleep(seconds)
