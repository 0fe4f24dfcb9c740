"""What goes over the line of a live call.

In: `start`, then binary frames, then `end`. A frame is its number, four bytes, big-endian, counted
from 1, and sound in the encoding that `start` names. Out: events, JSON. `seq` counts results (a
sentence, or a failure in the place of some); every other event carries that of the last result
before it, so that a client that comes again can say what it has.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, model_validator
from pydantic import ValidationError as PydanticError

from persona_ray.errors import RequestError
from persona_ray.serving.failures import ErrorDetail, misread
from persona_ray.serving.schemas import Colour, ModelAnswer, SentenceAnswer

HEADER_BYTES = 4
# How far ahead of `ack.received` a client may send.
WINDOW_S = 60.0
LONGEST_FRAME_S = 1.0
_LONGEST_MESSAGE = 8_192
Id = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=128)]

Encoding = Literal["pcm16", "mulaw", "alaw"]
MessageT = TypeVar("MessageT")


class Sound(BaseModel):
    """What frames hold: samples of all channels in turn; pcm16 is little-endian."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample_rate_hz: int = Field(8000, ge=8000, le=48_000)
    encoding: Encoding = "pcm16"
    channels: int = Field(1, ge=1, le=8)
    customer_channel: int = Field(0, ge=0, description="from 0")

    @model_validator(mode="after")
    def _channel_is_there(self) -> Sound:
        if self.customer_channel >= self.channels:
            raise ValueError(
                f"customer_channel {self.customer_channel} is not among {self.channels} "
                "channel(s), counted from 0"
            )
        return self

    @property
    def sample_bytes(self) -> int:
        """Bytes of one moment in all channels."""
        return self.channels * (2 if self.encoding == "pcm16" else 1)


class Start(Sound):
    """The first message. `resume_from`: the last `seq` that the client has of a call that it goes
    on with, 0 for none."""

    type: Literal["start"]
    call_id: Id = Field(min_length=1)
    customer_id: Id = Field("", description="so that the call is forgotten with its customer")
    resume_from: int | None = Field(None, ge=0)

    @property
    def sound(self) -> Sound:
        return Sound(**self.model_dump(include=set(Sound.model_fields)))


class Finish(BaseModel):
    """No more frames: everything before it is settled, then the line is closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["end"]


class Event(BaseModel):
    """The base of all events."""

    model_config = ConfigDict(frozen=True)

    seq: int = Field(ge=0)


class Begun(Event):
    """The call may be sent, from frame `next_frame` on, at most `window_s` ahead of
    `ack.received`. What is kept after the client's `resume_from` follows."""

    type: Literal["started"] = "started"
    call_id: str
    next_frame: int
    window_s: float


class Started(Begun):
    """The first event of a live call: its results after `resume_from` follow."""

    model: ModelAnswer


class Ack(Event):
    """All sound up to frame `frame` is settled: its sentences are judged and kept, the client need
    keep it no longer. `received`: the last frame that has come."""

    type: Literal["ack"] = "ack"
    frame: int
    received: int


class Partial(Event):
    """What is being said; a later one, or the sentences, stand in its place."""

    type: Literal["partial"] = "partial"
    start_s: float
    text: str


class Sentence(Event, SentenceAnswer):
    """A sentence of the customer with its colour."""

    type: Literal["sentence"] = "sentence"
    model: ModelAnswer
    timings_s: dict[str, float]


class RunningColour(Event, Colour):
    """Of all sentences up to this one: a point of the evidence."""

    type: Literal["colour"] = "colour"


class Failed(Event):
    """An error. With `start_s` and `end_s` it is a result: what was said there could not be
    judged, and the call goes on. Without, the line is closed; where it is `resumable`, come again
    and go on after the last `ack`."""

    type: Literal["error"] = "error"
    error: ErrorDetail
    resumable: bool = False
    start_s: float | None = None
    end_s: float | None = None


class Ended(Event):
    """The call is over: all of it is settled."""

    type: Literal["end"] = "end"
    duration_s: float
    together: Colour


Result = Sentence | Failed
AnyEvent = Started | Ack | Partial | Sentence | RunningColour | Failed | Ended
_INCOMING: TypeAdapter[Start | Finish] = TypeAdapter(
    Annotated[Start | Finish, Field(discriminator="type")]
)
_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="type")])
_RESULT: TypeAdapter[Result] = TypeAdapter(Annotated[Result, Field(discriminator="type")])


def read_message(text: str) -> Start | Finish:
    """A client's text message. Raises RequestError."""
    return read_as(text, _INCOMING, tagged=True)


def read_as(text: str, adapter: TypeAdapter[MessageT], *, tagged: bool = False) -> MessageT:
    """A text message as what `adapter` reads; `tagged`: by its `type`. Raises RequestError."""
    if len(text) > _LONGEST_MESSAGE:
        raise RequestError(
            "live.message",
            f"a text message of {len(text)} characters, where {_LONGEST_MESSAGE} are the most",
            status=400,
            fix="send sound as binary frames",
        )
    try:
        return adapter.validate_python(json.loads(text), strict=False)
    except PydanticError as error:
        raise misread(error, "live.message", 400, tagged=tagged) from None
    except (ValueError, RecursionError):
        raise RequestError(
            "live.message", "a text message that is no JSON", status=400, fix="send JSON"
        ) from None


def read_event(text: str) -> AnyEvent:
    """An event as a client gets it; ValueError for anything else."""
    return _EVENT.validate_json(text)


def read_result(body: str) -> Result:
    """A result as the store keeps it."""
    return _RESULT.validate_json(body)
