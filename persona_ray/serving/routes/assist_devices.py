"""The line of an agent's device: `/v1/assist/devices` (WebSocket)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, FastAPI, WebSocket

from persona_ray.serving.assist.desk import AssistDesk
from persona_ray.serving.assist.devices import Devices
from persona_ray.serving.assist.housekeeping import assist_housekeeping
from persona_ray.serving.assist.news import News
from persona_ray.serving.failures import websocket_only
from persona_ray.serving.gate import chosen_subprotocol
from persona_ray.serving.live.connection import Line

if TYPE_CHECKING:
    from persona_ray.serving.assist.services import AssistServices


def assist_devices(services: AssistServices) -> APIRouter:
    """An agent's key is for his own devices; an operator's for any agent's."""
    news = News(services.store.pushes, services.woken)
    devices = Devices(services, AssistDesk(services), news)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with assist_housekeeping(services, news):
            yield

    router = APIRouter(prefix="/v1/assist", tags=["assist"], lifespan=lifespan)

    @router.get("/devices", include_in_schema=False)
    async def plain() -> None:
        raise websocket_only("/v1/assist/devices")

    @router.websocket("/devices")
    async def device(websocket: WebSocket) -> None:
        caller = await services.gate.admit(websocket, "assist")
        await websocket.accept(subprotocol=chosen_subprotocol(websocket))
        line = Line(websocket, services.config.serving.live.idle_timeout_s)
        line.admitted_by(lambda: services.gate.still_admits(websocket, "assist"))
        await devices.hold(line, caller)

    return router
