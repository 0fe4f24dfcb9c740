"""The messages of Twilio Media Streams, as our protocol has them.

Text messages all of them: `connected`, `start`, `media` (base64 mu-law, 8 kHz, one channel, each
track by itself), `stop`; `mark` and `dtmf` are passed over. Twilio sets no headers, so the key
stands among the stream's parameters. A stream that breaks does not come again: what was heard by
then is settled as if it had been stopped.
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic import ValidationError as PydanticError
from starlette.websockets import WebSocketDisconnect

from persona_ray.errors import RequestError
from persona_ray.serving.failures import misread
from persona_ray.serving.live.connection import Line
from persona_ray.serving.live.frames import frame
from persona_ray.serving.live.protocol import Event, RunningColour, Start

if TYPE_CHECKING:
    from starlette.websockets import WebSocket


_LONGEST_MESSAGE = 65_536
_FIX = "send Twilio's Media Streams"
_END = json.dumps({"type": "end"})


class _Loose(BaseModel):
    """Twilio adds fields as it likes."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class MediaFormat(_Loose):
    encoding: Literal["audio/x-mulaw"]
    sample_rate_hz: Literal[8000] = Field(alias="sampleRate")
    channels: Literal[1]


class Parameters(_Loose):
    """Of the stream, as `<Parameter>` sets them."""

    key: str = Field("", description="a key with the scope live")
    customer_id: str = ""
    track: Literal["inbound", "outbound"] = "inbound"
    answers: Literal["mark", "json", "none"] = "mark"


class StreamStart(_Loose):
    call_sid: str = Field(alias="callSid")
    media_format: MediaFormat = Field(alias="mediaFormat")
    parameters: Parameters = Field(Parameters(), alias="customParameters")


class Started(_Loose):
    event: Literal["start"]
    stream_sid: str = Field(alias="streamSid", min_length=1, max_length=128)
    start: StreamStart


class Media(_Loose):
    track: Literal["inbound", "outbound"] = "inbound"
    payload: str


class MediaMessage(_Loose):
    event: Literal["media"]
    media: Media


class Other(_Loose):
    event: Literal["connected", "mark", "dtmf", "stop"]


Message = Started | MediaMessage | Other
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="event")])


def read(text: str) -> Message:
    """Raises RequestError."""
    try:
        if len(text) > _LONGEST_MESSAGE:
            raise ValueError("too long")
        return _MESSAGE.validate_python(json.loads(text))
    except PydanticError as error:
        raise misread(error, "twilio.message", 400, tagged=True, fix=_FIX) from None
    except (ValueError, RecursionError):
        raise RequestError(
            "twilio.message",
            "a message that is no JSON, or too long",
            status=400,
            fix=_FIX,
        ) from None


class TwilioLine(Line):
    """One stream. `begun` waits for its start, before which nothing is known of it."""

    def __init__(self, websocket: WebSocket, idle_s: float) -> None:
        super().__init__(websocket, idle_s)
        self._started: Started | None = None
        self._number = 0
        self._gone = False

    async def begun(self) -> tuple[Start, Parameters]:
        """Raises RequestError, WebSocketDisconnect."""
        while True:
            message = read(await self._text())
            if isinstance(message, Started):
                break
            if isinstance(message, MediaMessage) or message.event == "stop":
                raise RequestError(
                    "twilio.message",
                    f"'{message.event}' before 'start'",
                    status=400,
                    field="event",
                    fix=_FIX,
                )
        self._started = message
        parameters = message.start.parameters
        try:
            start = Start(
                type="start",
                call_id=message.stream_sid,
                customer_id=parameters.customer_id,
                encoding="mulaw",
                # A stream has one start: whatever there is of this name is this stream's.
                resume_from=None,
            )
        except PydanticError as error:
            raise misread(error, "twilio.message", 400) from None
        return start, parameters

    async def receive(self) -> bytes | str:
        """See Line: the next frame of the track that is listened to, or the end."""
        wanted = self._parameters.track
        while True:
            try:
                message = read(await self._text())
            except WebSocketDisconnect:
                self._gone = True
                return _END
            if isinstance(message, MediaMessage) and message.media.track == wanted:
                self._number += 1
                return frame(self._number, _payload(message.media.payload))
            if isinstance(message, Started):
                raise RequestError("twilio.message", "a second 'start'", status=400, field="event")
            if isinstance(message, Other) and message.event == "stop":
                return _END

    async def send(self, event: Event) -> None:
        """See Line: what `answers` asks for."""
        answers = self._parameters.answers
        if self._gone or answers == "none":
            return
        if answers == "json":
            await self._say("persona-ray", "payload", event.model_dump())
        elif isinstance(event, RunningColour) and event.primary is not None:
            name = (
                f"colour={event.primary};secondary={event.secondary};"
                f"confidence={event.confidence or 0:.3f};sentences={event.clips}"
            )
            await self._say("mark", "mark", {"name": name})

    @property
    def _parameters(self) -> Parameters:
        # Without a start there is nobody to answer in Twilio's words.
        return (
            Parameters(answers="none")
            if self._started is None
            else (self._started.start.parameters)
        )

    async def _say(self, kind: str, field: str, body: dict[str, Any]) -> None:
        sid = "" if self._started is None else self._started.stream_sid
        words = json.dumps({"event": kind, "streamSid": sid, field: body}, ensure_ascii=False)
        try:
            await self.send_text(words)
        except WebSocketDisconnect:
            self._gone = True

    async def _text(self) -> str:
        message = await super().receive()
        if isinstance(message, bytes):
            raise RequestError(
                "twilio.message",
                "a binary message",
                status=400,
                fix="send Twilio's Media Streams, or use /v1/live",
            )
        return message


def _payload(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise RequestError(
            "twilio.payload", "a payload that is no base64", status=400, field="media.payload"
        ) from None
