"""What goes over the lines of an assisted call: the call's own, and those of the agent's devices.

The call's line, as that of a live call: `start`, binary frames numbered from 1 that hold both
channels, `end`; between them the client may tell a new `scene` or the customer's `colour`. Out:
`started`, `ack`, `turn`, `push`, `unheard`, `error`, `end`.

A device's line, `/v1/assist/devices`: the client sends `listen`, then `seen` for every push that
stands on its screen, and `feedback`. Out: notices, numbered for each agent; after `listen` with
`after` those that were missed come first, without pushes that are too late by now.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from persona_ray.conversation import Action, Emotion, Outcome, Rating, Relation, Speaker
from persona_ray.serving.failures import ErrorDetail
from persona_ray.serving.live.protocol import Ack, Begun, Event, Failed, Finish, Id, Sound, read_as

_MOST = 2**63 - 1


class SceneNamed(BaseModel):
    """Where the call is. A step that is not given stays what it was; the first is
    `assist.steps`' first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: Id = Field(min_length=1)
    step: Id = ""
    campaign: Id = ""


class Start(Sound):
    """The first message. `agent_id`: whose devices hear of it; left out with an agent's own key.
    The channel that is not `customer_channel` is the agent's; with one channel the agent is not
    heard. `resume_from`: the last `seq` that the client has of a call that it goes on with."""

    type: Literal["start"]
    call_id: Id = Field(min_length=1)
    agent_id: Id = ""
    customer_id: Id = ""
    scene: SceneNamed
    colour: dict[str, float] = Field(
        default_factory=dict, description="of the customer, where the client knows it"
    )
    resume_from: int | None = Field(None, ge=0)

    @property
    def sound(self) -> Sound:
        return Sound(**self.model_dump(include=set(Sound.model_fields)))


class SceneChanged(SceneNamed):
    """From now on."""

    type: Literal["scene"]


class ColourKnown(BaseModel):
    """Of the customer, from now on: what the personality application's `colour` event says."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["colour"]
    probabilities: dict[str, float]


class CallStarted(Begun):
    """The call may be sent; kept events after the client's `resume_from` follow."""


class KeywordFelt(BaseModel):
    """A word that carries emotion, characters `start` to `end` of the turn's text."""

    model_config = ConfigDict(frozen=True)

    text: str
    start: int
    end: int
    emotion: Emotion
    probability: float


class TurnHeard(Event):
    """What one side said. Emotion, valence (-1 to 1), relation and keywords are of the customer's
    turns alone."""

    type: Literal["turn"] = "turn"
    speaker: Speaker
    text: str
    start_s: float
    end_s: float
    emotion: Emotion | None = None
    probabilities: dict[Emotion, float] = Field(default_factory=dict)
    valence: float | None = None
    relation: Relation | None = None
    keywords: tuple[KeywordFelt, ...] = ()
    timings_s: dict[str, float] = Field(
        default_factory=dict,
        description="each stage's, after the end of what was said: ended (the silence that shows "
        "it), hearing, feeling",
    )


class ShownScript(BaseModel):
    """One of the scripts of a push, the large one first."""

    model_config = ConfigDict(frozen=True)

    script_id: str
    text: str
    topic: str
    style: str


class Pushed(Event):
    """Scripts for the agent, after the customer's sentence `turn_seq`. `expires_in_s` from when it
    is sent. `because`: codes, which `GET /v1/pages/settings` has words for."""

    type: Literal["push"] = "push"
    push_id: str
    turn_seq: int
    scripts: tuple[ShownScript, ...]
    because: tuple[str, ...]
    expires_in_s: float
    timings_s: dict[str, float] = Field(
        default_factory=dict,
        description="each stage's, after the end of what was said: ended, hearing, feeling, "
        "choosing, and on the call's own line sent; they sum to the time since",
    )


class NotPushed(Event):
    """Why nothing is put before the agent after sentence `turn_seq`: as NoSuggestion.reason, or
    `late`, `often` (the cap of a minute), `repeated`."""

    type: Literal["no_push"] = "no_push"
    turn_seq: int
    reason: str


class CallBegan(Event):
    """What devices are told of a call's beginning."""

    type: Literal["began"] = "began"
    call_id: str
    customer_id: str
    scene: dict[str, str]


class SceneTold(Event):
    """Where the call is from now on, as its client or a device of its agent has it."""

    type: Literal["scene"] = "scene"
    scene: dict[str, str]


class Unheard(Event):
    """A stretch that gave no turn: `silence`, `echo`, `no_words`."""

    type: Literal["unheard"] = "unheard"
    speaker: Speaker
    start_s: float
    end_s: float
    reason: str


class CallEnded(Event):
    """The call is over: all of it is settled."""

    type: Literal["end"] = "end"
    duration_s: float
    turns: int
    pushes: int


# An `error` event with times is what could not be judged; the call goes on.
Kept = TurnHeard | Pushed | NotPushed | SceneTold | Unheard | Failed | CallEnded
AnyEvent = CallStarted | Kept | Ack
_INCOMING: TypeAdapter[Start | SceneChanged | ColourKnown | Finish] = TypeAdapter(
    Annotated[Start | SceneChanged | ColourKnown | Finish, Field(discriminator="type")]
)
_EVENT: TypeAdapter[AnyEvent] = TypeAdapter(Annotated[AnyEvent, Field(discriminator="type")])
_KEPT: TypeAdapter[Kept] = TypeAdapter(Annotated[Kept, Field(discriminator="type")])


class Listen(BaseModel):
    """A device's first message. `after`: the last number that it has; None: those to come alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["listen"]
    agent_id: Id = ""
    after: int | None = Field(None, ge=0, le=_MOST)


class Seen(BaseModel):
    """A push stands on the screen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["seen"]
    push_id: Id = Field(min_length=1)


class Feedback(BaseModel):
    """What an agent did with a push, and thinks of it. `script_id`: which of its scripts, left out:
    the large one; `text`: as it was said, where it was edited. The same again changes nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: Action
    script_id: Id = ""
    rating: Rating | None = None
    # No database takes a zero character.
    text: str = Field("", max_length=2000, pattern=r"^[^\x00]*$")


class FeedbackGiven(Feedback):
    """Feedback over a device's line."""

    type: Literal["feedback"]
    push_id: Id = Field(min_length=1)


class CallOutcome(BaseModel):
    """What the call came to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    outcome: Outcome


class Notice(BaseModel):
    """One event of a call of the agent, as its line is told: `event` has its `type`. Numbers grow
    for each agent. `began`, the call's first, carries scene and customer."""

    type: Literal["notice"] = "notice"
    number: int
    call_id: str
    event: dict[str, object]


class FeedbackTaken(BaseModel):
    """The answer to `feedback`: its score, and whether it counts (late feedback does not)."""

    type: Literal["feedback"] = "feedback"
    push_id: str
    score: float
    counted: bool


class DeviceError(BaseModel):
    """Something that a device sent cannot be taken; `push_id` where it was about one. The line
    stays open unless `closing`."""

    type: Literal["error"] = "error"
    error: ErrorDetail
    push_id: str = ""
    closing: bool = False


_FROM_DEVICE: TypeAdapter[Listen | Seen | FeedbackGiven] = TypeAdapter(
    Annotated[Listen | Seen | FeedbackGiven, Field(discriminator="type")]
)
DeviceEvent = Notice | FeedbackTaken | DeviceError
_TO_DEVICE: TypeAdapter[DeviceEvent] = TypeAdapter(
    Annotated[DeviceEvent, Field(discriminator="type")]
)


def read_message(text: str) -> Start | SceneChanged | ColourKnown | Finish:
    """A call client's text message. Raises RequestError."""
    return read_as(text, _INCOMING, tagged=True)


def read_device_message(text: str) -> Listen | Seen | FeedbackGiven:
    """A device's message. Raises RequestError."""
    return read_as(text, _FROM_DEVICE, tagged=True)


def read_event(text: str) -> AnyEvent:
    """An event as a call's client gets it; ValueError for anything else."""
    return _EVENT.validate_json(text)


def read_kept(body: str) -> Kept:
    """An event as the store keeps it."""
    return _KEPT.validate_json(body)


def read_device_event(text: str) -> DeviceEvent:
    """An event as a device gets it; ValueError for anything else."""
    return _TO_DEVICE.validate_json(text)
