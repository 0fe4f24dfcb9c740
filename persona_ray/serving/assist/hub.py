"""The assisted calls of one ingress replica. Lines are closed as those of live calls are, see
`serving.live.connection`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from persona_ray.audio.vad import VoiceActivity
from persona_ray.errors import RequestError
from persona_ray.serving.assist.call import AssistedCall
from persona_ray.serving.assist.protocol import CallBegan
from persona_ray.serving.assist.scenes import channels_of, colour_named, scene_named, told
from persona_ray.serving.assist.state import MindState
from persona_ray.serving.live.connection import NORMAL, converse, part
from persona_ray.serving.live.hub import unknown_call
from persona_ray.serving.live.outbox import Outbox
from persona_ray.serving.live.room import Room
from persona_ray.store.live_calls import LiveCallExistsError, UnknownLiveCallError
from persona_ray.types import Recognition
from persona_ray.watch.logs import log_event

if TYPE_CHECKING:
    from persona_ray.conversation import Scene
    from persona_ray.serving.assist.protocol import AnyEvent, Start
    from persona_ray.serving.assist.services import AssistServices
    from persona_ray.serving.live.connection import Line
    from persona_ray.store.assist.records import AssistCall
    from persona_ray.store.recognitions import ArchivedCustomer

_NEVER = datetime.min.replace(tzinfo=UTC)


class AssistedCalls:
    """Holds calls, each from its `start` to the end of its connection."""

    def __init__(self, services: AssistServices) -> None:
        self._services = services
        self._voice = VoiceActivity(services.config.vad)
        self._room = Room(services.config.serving.limits.max_live_calls, services.metrics)

    async def hold(self, line: Line, agent_id: str, start: Start) -> None:
        """A call."""
        outbox: Outbox[AnyEvent] | None = None
        call: AssistedCall | None = None
        code = ""
        try:
            with self._room.taken():
                channels_of(start.sound)
                scene = scene_named(start.scene, self._services.config.assist.steps)
                begun = await self._begun(start, scene)
                record = await self._open(agent_id, start, scene)
                # What is told again does not wait for a slow client: it is there already.
                outbox = Outbox(self._services.config.serving.live.send_queue + record.events + 2)
                seen = start.resume_from or 0
                call = await AssistedCall.begin(
                    record, self._services, self._voice, outbox.put, begun, seen
                )
                await converse(line, call, outbox)
                await line.close(NORMAL)
        except WebSocketDisconnect:
            code = "live.gone"
        except Exception as error:
            code = (await part(line, outbox, 0 if call is None else call.seq, error)).code
        finally:
            heard_s = 0.0 if call is None else round(call.heard_s, 3)
            log_event("assisted call", audio_s=heard_s, code=code)

    async def _begun(self, start: Start, scene: Scene) -> MindState:
        """What is known of a call that begins."""
        labels = self._services.config.annotation.labels
        colour = colour_named(start.colour, labels)
        if not colour and start.customer_id:
            recognitions = self._services.store.recognitions
            found = await asyncio.to_thread(recognitions.customer, start.customer_id)
            colour = stored_colour(found.values(), labels)
        library = await self._services.scripts.current()
        return MindState(
            product=scene.product,
            step=scene.step,
            campaign=scene.campaign,
            library=(library.name, library.version),
            colour=colour,
        )

    async def _open(self, agent_id: str, start: Start, scene: Scene) -> AssistCall:
        sound = start.sound.model_dump()
        named = told(scene)
        began = CallBegan(seq=0, call_id=start.call_id, customer_id=start.customer_id, scene=named)
        calls = self._services.store.assist_calls
        try:
            record = await asyncio.to_thread(
                calls.open,
                agent_id,
                start.call_id,
                sound,
                named,
                start.customer_id,
                start.resume_from,
                began.model_dump_json(),
            )
        except LiveCallExistsError:
            raise RequestError(
                "live.exists",
                f"call '{start.call_id}' has begun",
                status=409,
                field="call_id",
                fix="go on with it by resume_from, or choose another call_id",
            ) from None
        except UnknownLiveCallError:
            raise unknown_call(start.call_id, "resume_from") from None
        if not record.ended and record.sound != sound:
            raise RequestError(
                "live.sound",
                f"call '{start.call_id}' began with {dict(record.sound)}",
                status=409,
                field="encoding",
                fix="go on with the same encoding, rate and channels",
            )
        self._services.woken.set()
        return record


def stored_colour(found: Iterable[ArchivedCustomer], labels: Collection[str]) -> dict[str, float]:
    """A customer's colour as it was recognised last; empty where it never was."""
    latest = sorted(
        (one for one in found if isinstance(one.result, Recognition)),
        key=lambda one: one.recognised_at or _NEVER,
    )
    for one in reversed(latest):
        if isinstance(one.result, Recognition) and set(one.result.probabilities) <= set(labels):
            return dict(one.result.probabilities)
    return {}
