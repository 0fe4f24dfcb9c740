"""What the application does beside requests: ends calls that nobody holds, deletes what is old
(calls, entries of sets, voices, reports, changes), sends webhooks. Every replica does all of it;
the store sees to it that each thing is done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from persona_ray.inference.screening.reporting import ReportDesk
from persona_ray.serving.screening.links import shared_secret
from persona_ray.serving.screening.schemas import links_of
from persona_ray.serving.screening.webhooks import Webhooks, check_urls
from persona_ray.store.screening.call_records import UnknownCallError
from persona_ray.watch.logs import log_exception

if TYPE_CHECKING:
    from persona_ray.serving.screening.desk import Desk
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store.screening.notices import Delivery

_LOOK_EVERY_S = 2.0
_EXPIRE_EVERY_S = 3600.0


@asynccontextmanager
async def housekeeping(services: ScreeningServices, desk: Desk) -> AsyncIterator[None]:
    """While the application is up."""
    config = services.config.screening
    reports = ReportDesk(services.store, config)

    async def tidy() -> None:
        await asyncio.to_thread(reports.tidy)

    tasks = [
        # Where all replicas were gone, phones need time to come again.
        asyncio.create_task(_every(_LOOK_EVERY_S, desk.end_abandoned, config.gone_s)),
        asyncio.create_task(_every(_EXPIRE_EVERY_S, desk.expire)),
        asyncio.create_task(_every(_EXPIRE_EVERY_S, tidy)),
    ]
    if config.webhooks:
        check_urls(config)
        hooks = Webhooks(
            services.store.screening_notices,
            shared_secret(services.config, "webhooks"),
            config.webhooks_private,
            lambda delivery: delivery_body(services, delivery),
        )
        tasks.append(asyncio.create_task(hooks.run()))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def delivery_body(services: ScreeningServices, delivery: Delivery) -> dict[str, Any]:
    """What a webhook is told: no number and no words, but links to them."""
    notice = delivery.notice
    try:
        call = services.store.screened_calls.get(notice.user_id, notice.call_id)
        recorded = services.recordings.file(call.recording) is not None
        links = links_of(call, services.links, recorded)
    except UnknownCallError:
        links = {}
    return {
        "type": "notice",
        "number": notice.number,
        "kind": notice.kind,
        "user_id": notice.user_id,
        "call_id": notice.call_id,
        "at": notice.at.isoformat(),
        "body": dict(notice.body),
        "links": links,
    }


async def _every(
    seconds: float, work: Callable[[], Awaitable[object]], after_s: float = 0.0
) -> None:
    await asyncio.sleep(after_s)
    while True:
        try:
            await work()
        except Exception as error:
            # It goes on: nobody else ends the calls that are left.
            log_exception("housekeeping of screening failed", error)
        await asyncio.sleep(seconds)
