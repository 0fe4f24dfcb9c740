"""What goes over the line of a screened call, in both directions.

In, as on the line of a live call: `start`, binary frames numbered from 1, `end` when the caller has
hung up. Out: binary frames of the robot's sound in the caller's own encoding and rate, numbered
from 1 on each connection, to be played as they come; and events, JSON. `clear` says that what was
sent and not played yet must not be played: the caller speaks, or the call is over.

`seq` counts the events that are kept (`turn`, `screen`, `ask`, `answered`, `message`, `line`,
`end`); every other event carries that of the last kept one before it, so that a client that comes
again with `resume_from` is told what it has missed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from persona_ray.inference.screening.records import Channel, Outcome, Speaker, Standing
from persona_ray.serving.live.protocol import Ack, Begun, Event, Failed, Finish, Id, Sound, read_as
from persona_ray.serving.screening.fields import CallerNumber, CallTime

# As far as databases count.
_MOST = 2**63 - 1


class Start(Sound):
    """The first message. A call that was handed over before is known by `call_id`; `number` and
    `at` are then left out. `resume_from`: the last `seq` that the client has of a call that it goes
    on with, 0 for none."""

    type: Literal["start"]
    call_id: Id = Field(min_length=1)
    user_id: Id = Field("", description="whom the call is for; for keys with the scope operator")
    number: CallerNumber | None = Field(None, description="the caller's; empty: withheld")
    at: CallTime | None = None
    channel: Channel = Channel.TELEPHONE
    resume_from: int | None = Field(None, ge=0)

    @property
    def sound(self) -> Sound:
        return Sound(**self.model_dump(include=set(Sound.model_fields)))


class CallStarted(Begun):
    """The call may be sent, from frame `next_frame` on, at most `window_s` ahead of
    `ack.received`. Kept events after the client's `resume_from` follow."""


class TurnSaid(Event):
    """What one side said, in seconds from the start of the call."""

    type: Literal["turn"] = "turn"
    speaker: Speaker
    text: str
    start_s: float
    end_s: float


class Screened(Event):
    """What the call is taken for, from now on."""

    type: Literal["screen"] = "screen"
    standing: Standing
    category: str
    reason: str


class Asked(Event):
    """The user is asked what to do with the call, for `longest_s`."""

    type: Literal["ask"] = "ask"
    category: str
    name: str
    reason: str
    longest_s: float


class Messaging(Event):
    """The caller leaves a message from now on, of `longest_s` at most."""

    type: Literal["message"] = "message"
    longest_s: float


class LineDone(Event):
    """What to do with the caller's line, now: pick it up silently, put it through to the user,
    reject it, hang up on it, or end it after a goodbye."""

    type: Literal["line"] = "line"
    action: Literal["pick_up", "pass", "reject", "hang_up", "end"]
    name: str = ""
    category: str = ""
    reason: str = ""


class Clear(Event):
    """Drop what was sent of the robot's sound and not played yet."""

    type: Literal["clear"] = "clear"


class Played(Event):
    """The robot has begun (`over` false) or ended to speak."""

    type: Literal["speaking"] = "speaking"
    over: bool


class CallEnded(Event):
    """The call has its verdict, which `GET /v1/screening/calls/{call_id}` shows whole."""

    type: Literal["end"] = "end"
    outcome: Outcome
    standing: Standing | None
    category: str
    reason: str
    decided_s: float | None
    duration_s: float


Kept = TurnSaid | Screened | Asked | Messaging | LineDone | CallEnded
CallEventOut = CallStarted | Kept | Clear | Played | Ack | Failed
_INCOMING: TypeAdapter[Start | Finish] = TypeAdapter(
    Annotated[Start | Finish, Field(discriminator="type")]
)
_EVENT: TypeAdapter[CallEventOut] = TypeAdapter(
    Annotated[CallEventOut, Field(discriminator="type")]
)
_KEPT: TypeAdapter[Kept] = TypeAdapter(Annotated[Kept, Field(discriminator="type")])


class Subscribe(BaseModel):
    """The first message of who listens for notices. `after`: the last number that it has; None:
    those to come alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["start"]
    user_id: Id = ""
    after: int | None = Field(None, ge=0, le=_MOST)


_SUBSCRIBE: TypeAdapter[Subscribe] = TypeAdapter(Subscribe)


class NoticeEvent(BaseModel):
    """Something a user is told of a call; numbers grow."""

    type: Literal["notice"] = "notice"
    number: int
    kind: str = Field(description="ask, screen, verdict or corrected")
    call_id: str
    at: datetime
    body: dict[str, object]


def read_message(text: str) -> Start | Finish:
    """A client's text message. Raises RequestError."""
    return read_as(text, _INCOMING, tagged=True)


def read_subscription(text: str) -> Subscribe:
    """The first message of a listener. Raises RequestError."""
    return read_as(text, _SUBSCRIBE)


def read_event(text: str) -> CallEventOut:
    """An event as a client gets it; ValueError for anything else."""
    return _EVENT.validate_json(text)


def read_kept(body: str) -> Kept:
    """An event as the store keeps it."""
    return _KEPT.validate_json(body)
