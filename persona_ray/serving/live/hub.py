"""The live calls of one ingress replica."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from persona_ray.audio.vad import VoiceActivity
from persona_ray.errors import RequestError, StoreError
from persona_ray.serving.live.call import LiveCall
from persona_ray.serving.live.connection import NORMAL, converse, part
from persona_ray.serving.live.outbox import Outbox
from persona_ray.serving.live.room import Room
from persona_ray.store.live_calls import LiveCallExistsError, UnknownLiveCallError
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.serving.application import Services
    from persona_ray.serving.live.connection import Line
    from persona_ray.serving.live.protocol import AnyEvent, Start
    from persona_ray.store.live_calls import LiveCallRecord


class LiveCalls:
    """Counts the calls that are held, and lets those expire that nobody goes on with."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._voice = VoiceActivity(services.config.vad)
        self._room = Room(services.config.serving.limits.max_live_calls, services.metrics)
        self._expiries: set[asyncio.Task[None]] = set()

    async def hold(self, line: Line, owner: str, start: Start) -> None:
        """A call, from its `start` to the end of its connection."""
        outbox: Outbox[AnyEvent] | None = None
        call: LiveCall | None = None
        try:
            with self._room.taken():
                record = await self._open(owner, start)
                replay = record.results if start.resume_from is not None else 0
                # What is told again does not wait for a slow client: it is there already.
                outbox = Outbox(self._services.config.serving.live.send_queue + 2 * replay + 2)
                seen = start.resume_from or 0
                call = await LiveCall.begin(record, self._services, self._voice, outbox.put, seen)
                await converse(line, call, outbox)
                await line.close(NORMAL)
            _log(call, "")
        except WebSocketDisconnect:
            _log(call, "live.gone")
        except Exception as error:
            failure = await part(line, outbox, 0 if call is None else call.seq, error)
            _log(call, failure.code)
        finally:
            self._expire_later()

    async def _open(self, owner: str, start: Start) -> LiveCallRecord:
        await self._expire()
        calls = self._services.store.live_calls
        sound = start.sound
        try:
            record = await asyncio.to_thread(
                calls.open,
                owner,
                start.call_id,
                sound.model_dump(),
                start.customer_id,
                start.resume_from,
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
        if record.sound != sound.model_dump():
            raise RequestError(
                "live.sound",
                f"call '{start.call_id}' began with {dict(record.sound)}",
                status=409,
                field="encoding",
                fix="go on with the same encoding, rate and channels",
            )
        return record

    async def _expire(self) -> None:
        """Texts are kept for as long as a call may be gone on with, and no longer."""
        age = timedelta(seconds=self._services.config.serving.live.resume_s)
        store = self._services.store
        await asyncio.to_thread(lambda: store.live_calls.expire(store.now() - age))

    def _expire_later(self) -> None:
        async def wait() -> None:
            await asyncio.sleep(self._services.config.serving.live.resume_s + 1)
            try:
                await self._expire()
            except StoreError as error:
                log_exception("expiry of live calls failed", error)

        # One is enough: it takes all that are old by then, and each call's end begins another.
        for task in self._expiries:
            task.cancel()
        task = asyncio.create_task(wait())
        self._expiries = {task}


def unknown_call(call_id: str, field: str) -> RequestError:
    return RequestError(
        "live.unknown",
        f"there is no call '{call_id}', or it was too long ago to go on with",
        status=404,
        field=field,
        fix="start a new call",
    )


def _log(call: LiveCall | None, code: str) -> None:
    heard_s = 0.0 if call is None else round(call.heard_s, 3)
    sentences = 0 if call is None else call.sentences
    log_event("live call", audio_s=heard_s, sentences=sentences, code=code)
