"""Clients of assistance: a call's own line, and a device of its agent.

client = AssistClient(url, "call-1", sound, agent_id="li", scene={"product": "loan"}, key=key)
ended = await client.stream(paced(samples, rate_hz), on_event)

async for notice in listened(url, "li", key=key):
    ...
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING

from persona_ray.serving.assist.protocol import (
    AnyEvent,
    CallEnded,
    DeviceEvent,
    Notice,
    read_device_event,
    read_event,
)
from persona_ray.serving.live.line_client import StreamClient, websocket
from persona_ray.serving.trust import distrust, of_line

if TYPE_CHECKING:
    import ssl

    from persona_ray.serving.live.protocol import Sound

_CALLS, _DEVICES = "/v1/assist/calls", "/v1/assist/devices"
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 2.0


class AssistClient(StreamClient[AnyEvent, CallEnded]):
    """One call. `scene`: product, step, campaign; `colour`: of the customer, where it is known.
    `patience_s`, `on_break` and `trust`: as `LineClient` has them."""

    def __init__(
        self,
        url: str,
        call_id: str,
        sound: Sound,
        *,
        scene: Mapping[str, str],
        agent_id: str = "",
        customer_id: str = "",
        colour: Mapping[str, float] | None = None,
        key: str = "",
        patience_s: float = 60.0,
        on_break: Callable[[str], None] = lambda _: None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(
            assist_url(url, _CALLS),
            {
                "call_id": call_id,
                "agent_id": agent_id,
                "customer_id": customer_id,
                "scene": dict(scene),
                "colour": dict(colour or {}),
            },
            sound,
            read=read_event,
            ended=CallEnded,
            key=key,
            patience_s=patience_s,
            longest_wait_s=5.0,
            on_break=on_break,
            trust=trust,
        )

    def move(self, scene: Mapping[str, str]) -> None:
        """The call is there from what is said now on."""
        self._say({"type": "scene", **scene})

    def learn(self, colour: Mapping[str, float]) -> None:
        """The customer's colour, as it is known by now."""
        self._say({"type": "colour", "probabilities": dict(colour)})


class DeviceClient:
    """A device of an agent. It says of every push that it was seen, comes again when its line
    breaks, and asks for what it missed. `after`: the last notice it has; None: those to come."""

    def __init__(
        self,
        url: str,
        agent_id: str = "",
        *,
        key: str = "",
        after: int | None = None,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.url = assist_url(url, _DEVICES)
        self.after = after
        self._agent_id = agent_id
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._tls = of_line(self.url, trust)
        self._answers: asyncio.Queue[str] = asyncio.Queue()

    def say(self, push_id: str, action: str, rating: str = "", **more: str) -> None:
        """Feedback on a push; its answer comes among the events."""
        given = {"type": "feedback", "push_id": push_id, "action": action, **more}
        self._answers.put_nowait(json.dumps(given | ({"rating": rating} if rating else {})))

    async def listen(self, ready: Callable[[], None] = lambda: None) -> AsyncIterator[DeviceEvent]:
        """Events as they come, until the caller has enough. `ready` is called once the line stands.
        Raises what `websockets` raises where the service refuses the device, RequestError for a
        certificate."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed

        wait_s = _FIRST_WAIT_S
        while True:
            try:
                async with connect(
                    self.url, additional_headers=self._headers, ssl=self._tls
                ) as line:
                    first = {"type": "listen", "agent_id": self._agent_id, "after": self.after}
                    await line.send(json.dumps(first))
                    ready()
                    sending = asyncio.create_task(self._send(line.send))
                    try:
                        async for message in line:
                            event = read_device_event(str(message))
                            wait_s = _FIRST_WAIT_S
                            yield self._noted(event)
                    finally:
                        sending.cancel()
            except (ConnectionClosed, OSError) as error:
                refusal = distrust(self.url, error)
                if refusal is not None:
                    raise refusal from None
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _noted(self, event: DeviceEvent) -> DeviceEvent:
        if isinstance(event, Notice):
            self.after = event.number
            push_id = event.event.get("push_id")
            if event.event.get("type") == "push" and isinstance(push_id, str):
                self._answers.put_nowait(json.dumps({"type": "seen", "push_id": push_id}))
        return event

    async def _send(self, send: Callable[[str], object]) -> None:
        while True:
            answer = await self._answers.get()
            sent = send(answer)
            if asyncio.iscoroutine(sent):
                await sent


def assist_url(url: str, path: str) -> str:
    """The address of a line where an address of the service is given."""
    parts = websocket(url)
    root = parts.path.rstrip("/")
    return parts._replace(path=root if root.endswith(path) else root + path).geturl()
