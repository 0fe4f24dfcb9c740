"""The screened calls of one ingress replica, each from its `start` to the end of its connection.

| code | why the line was closed | come again? |
|---|---|---|
| 1000 | the call has its verdict: `end` was sent | no |
| 4400 | a message or frame that cannot be read, frames missing | yes, with what was right |
| 4401, 4403 | no key, one without the scope `screen`, another user's, a revoked one | no |
| 4404 | a call that is gone on with is not there | no |
| 4408 | no frame for `serving.live.idle_timeout_s` | yes |
| 4409 | another connection has the call, it was deleted, or it cannot be gone on with | no |
| 4422 | no user is named by a key that speaks for many | yes, with one |
| 4429 | events are not read, or the key's requests are used up | yes |
| 4500, 4503 | the service failed, is full, or its database does not answer | yes |

A client that does not come again within `screening.gone_s` leaves the call to whichever replica
looks next: that one ends it with the verdict so far.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from persona_ray.audio.vad import VoiceActivity
from persona_ray.errors import RequestError
from persona_ray.inference.screening.numbers import caller_number
from persona_ray.inference.screening.records import CallEvent
from persona_ray.serving.live.connection import NORMAL, Line, begun_already, first_error, part
from persona_ray.serving.live.protocol import WINDOW_S, Finish
from persona_ray.serving.screening.desk import Desk, unknown_call
from persona_ray.serving.screening.held import HeldCall
from persona_ray.serving.screening.outbox import Outbox
from persona_ray.serving.screening.protocol import CallStarted, read_kept, read_message
from persona_ray.store.screening.call_records import (
    CallExistsError,
    CallSupersededError,
    UnknownCallError,
)
from persona_ray.watch.logs import log_event

if TYPE_CHECKING:
    from persona_ray.inference.screening.records import Verdict
    from persona_ray.serving.screening.protocol import CallEventOut, Start
    from persona_ray.serving.screening.services import ScreeningServices
    from persona_ray.store.screening.call_records import ScreenedCall

# How soon a line hears of the user's answer.
_LOOK_EVERY_S = 0.5


class CallLine(Line):
    """A line that takes sound, too."""

    async def send_any(self, one: CallEventOut | bytes) -> None:
        """Raises WebSocketDisconnect; RequestError where the client does not read."""
        if not isinstance(one, bytes):
            await self.send_text(one.model_dump_json())
            return
        try:
            async with asyncio.timeout(self._idle_s):
                await self._websocket.send_bytes(one)
        except TimeoutError:
            raise RequestError(
                "live.slow", f"sound was not read for {self._idle_s:g} s", status=429
            ) from None
        except (RuntimeError, OSError):
            raise WebSocketDisconnect(1006) from None


class ScreeningCalls:
    """Counts the calls that are held."""

    def __init__(self, services: ScreeningServices, desk: Desk) -> None:
        self._services = services
        self._desk = desk
        self._voice = VoiceActivity(services.config.vad)
        self._count = 0

    async def hold(self, line: CallLine, user_id: str, start: Start) -> None:
        """A call, from its `start` to the end of its connection."""
        outbox: Outbox | None = None
        held: HeldCall | None = None
        code = ""
        self._note(+1)
        try:
            self._check_room()
            record = await self._open(user_id, start)
            seen = min(start.resume_from or 0, len(record.events))
            size = self._services.config.serving.live.send_queue
            outbox = Outbox(size + len(record.events) + 2)
            if not record.ended:
                held = await self._begin(record, outbox)
            self._welcome(outbox, record, held, seen)
            if held is None:
                outbox.close()
                await _send(line, outbox)
            else:
                await self._converse(line, held, outbox)
            await line.close(NORMAL)
        except WebSocketDisconnect:
            code = "live.gone"
        except Exception as error:
            await _last_words(line, outbox)
            seq = 0 if held is None else held.seq
            code = (await part(line, None, seq, _told(error))).code
        finally:
            self._note(-1)
            heard_s = 0.0 if held is None else round(held.heard_s, 3)
            log_event("screened line", audio_s=heard_s, code=code)

    async def _open(self, user_id: str, start: Start) -> ScreenedCall:
        calls = self._services.store.screened_calls
        if start.resume_from is None and start.number is not None:
            region = self._services.config.screening.region
            await self._desk.hand_over(
                CallEvent(
                    call_id=start.call_id,
                    user_id=user_id,
                    number=caller_number(start.number, region),
                    at=start.at or datetime.now(UTC),
                    channel=start.channel,
                )
            )
        sound = start.sound.model_dump()
        try:
            record = await asyncio.to_thread(
                calls.open, user_id, start.call_id, sound, start.resume_from
            )
        except UnknownCallError:
            raise unknown_call() from None
        except CallExistsError:
            raise RequestError(
                "live.exists",
                "the call has begun",
                status=409,
                field="call_id",
                fix="go on with it by resume_from",
            ) from None
        if not record.ended and dict(record.sound) != sound:
            raise RequestError(
                "live.sound",
                "the call began with other sound",
                status=409,
                field="encoding",
                fix="go on with the same encoding, rate and channels",
            )
        return record

    async def _begin(self, record: ScreenedCall, outbox: Outbox) -> HeldCall:
        services = self._services
        place = services.recordings.place(record.ref)
        if not record.recording:
            await asyncio.to_thread(services.store.screened_calls.recorded, record, place)
        folder = services.recordings.folder(place)
        wishes = await self._desk.wishes(record.user_id)
        return HeldCall(record, services, self._voice, outbox, folder, wishes)

    def _welcome(
        self, outbox: Outbox, record: ScreenedCall, held: HeldCall | None, seen: int
    ) -> None:
        next_frame = 1 if held is None else held.next_frame
        outbox.put(
            CallStarted(seq=seen, call_id=record.call_id, next_frame=next_frame, window_s=WINDOW_S)
        )
        for body in record.events[seen:]:
            outbox.put(read_kept(body))

    async def _converse(self, line: CallLine, held: HeldCall, outbox: Outbox) -> None:
        """Until the call has its verdict. Raises what ends the connection otherwise."""
        try:
            async with asyncio.TaskGroup() as group:
                sending = group.create_task(_send(line, outbox))
                others = [
                    group.create_task(line.watch()),
                    group.create_task(_hear(line, held)),
                    group.create_task(self._look(held)),
                ]
                verdict = await held.run()
                await self._conclude(held, verdict, outbox)
                for task in others:
                    task.cancel()
                outbox.close()
                await sending
        except* Exception as group_error:
            raise first_error(group_error) from None

    async def _conclude(self, held: HeldCall, verdict: Verdict, outbox: Outbox) -> None:
        last = list(held.unsaid)
        speech, rate_hz = held.speech()
        bodies = [event.model_dump_json() for event in last]
        # Before the verdict: whoever reads of it finds the recording.
        await asyncio.to_thread(held.finish_recording)
        await self._desk.conclude(held.record, verdict, bodies, speech, rate_hz)
        for event in last:
            outbox.put(event)

    async def _look(self, held: HeldCall) -> None:
        """Say that the call is held, and listen for the user's answer."""
        calls, record = self._services.store.screened_calls, held.record
        every = max(1, int(self._services.config.screening.gone_s / 4 / _LOOK_EVERY_S))
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            looks += 1
            if looks % every == 0:
                answer = await asyncio.to_thread(calls.alive, record)
            else:
                answer = await asyncio.to_thread(calls.answer_of, record.user_id, record.call_id)
            held.answered(answer)

    def _check_room(self) -> None:
        most = self._services.config.serving.limits.max_live_calls
        if self._count > most:
            raise RequestError(
                "service.busy",
                f"this replica holds {most} calls, as many as it takes",
                status=503,
                fix="connect again: another replica may have room",
                retry_after_s=1.0,
            )

    def _note(self, change: int) -> None:
        self._count += change
        self._services.metrics.live_calls(self._count)


async def _send(line: CallLine, outbox: Outbox) -> None:
    while (one := await outbox.get()) is not None:
        await line.send_any(one)


async def _hear(line: CallLine, held: HeldCall) -> None:
    while True:
        message = await line.receive()
        if isinstance(message, bytes):
            held.take(message)
            # Frames that have come already are not to keep other calls waiting.
            await asyncio.sleep(0)
        elif isinstance(read_message(message), Finish):
            held.finish()
            return
        else:
            raise begun_already()


async def _last_words(line: CallLine, outbox: Outbox | None) -> None:
    """What waits is sent before the line is closed, if anybody reads it."""
    try:
        for event in [] if outbox is None else outbox.rest():
            await line.send_any(event)
    except (RequestError, WebSocketDisconnect):
        return


def _told(error: Exception) -> Exception:
    if isinstance(error, CallSupersededError | UnknownCallError):
        return RequestError(
            "live.superseded",
            "another connection goes on with this call, or it was deleted",
            status=409,
            fix="leave the call to that connection",
        )
    return error
