"""What is asked and answered, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, field_validator

from persona_ray.serving.failures import ErrorDetail
from persona_ray.types import Recognition

if TYPE_CHECKING:
    from persona_ray.inference.clips import ClipRecognition, SentenceRecognition
    from persona_ray.serving.service import ServedModel
    from persona_ray.types import NothingUsable

MAX_CHANNEL = 31
MAX_TEXT = 2000
_EXAMPLE_COLOUR: dict[str, JsonValue] = {
    "primary": "blue",
    "secondary": "green",
    "probabilities": {"red": 0.08, "blue": 0.71, "yellow": 0.06, "green": 0.15},
    "confidence": 0.71,
    "abstained": False,
    "clips": 1,
    "reason": None,
}
_EXAMPLE_REST: dict[str, JsonValue] = {
    "model": {"name": "persona", "version": "3"},
    "timings_s": {"hearing": 0.21, "judging": 0.04, "total": 0.27},
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
_EXAMPLE_TEXT = "有没有书面的合同可以先看一下"


class Strict(BaseModel):
    """A body that may hold nothing that would be left unread."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="after")
    @classmethod
    def _no_zero(cls, value: object) -> object:
        if isinstance(value, str) and "\x00" in value:
            # Not every database takes it.
            raise ValueError("a text with a zero character")
        return value


class ClipSource(Strict):
    """One sentence: where its recording lies, and what is said in it where that is known."""

    uri: str | None = Field(None, description="below one of serving.limits.uri_roots")
    text: str | None = Field(
        None,
        max_length=MAX_TEXT,
        description="what is said; recognised where it is missing. Alone, without a recording, for "
        "a model that only reads",
    )
    channel: int | None = Field(
        None, ge=0, le=MAX_CHANNEL, description="the speaker's, from 0; for several channels"
    )


class ClipsRequest(Strict):
    """Sentences of one speaker."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"clips": [{"uri": "s3://recordings/a.wav", "text": _EXAMPLE_TEXT}]}
        }
    )

    clips: list[ClipSource] = Field(min_length=1)


class CallRequest(Strict):
    """A whole call."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"uri": "s3://recordings/2026-02/K00046.ogg", "channel": 1}}
    )

    uri: str = Field(min_length=1, description="below one of serving.limits.uri_roots")
    channel: int = Field(ge=0, le=MAX_CHANNEL, description="the customer's, from 0")


class Colour(BaseModel):
    """Whose colour it is. `primary` is null where none is named: nothing was usable (then there are
    no probabilities either), or the model is not sure enough (`abstained`); `reason` says why."""

    primary: str | None
    secondary: str | None
    probabilities: dict[str, FiniteFloat] | None = Field(description="by colour, summing to 1")
    confidence: FiniteFloat | None = Field(description="the highest of the probabilities")
    abstained: bool
    clips: int = Field(ge=0, description="sentences that it comes from")
    reason: str | None


class ClipAnswer(Colour):
    """One clip; `text` is what was read of it, null where the model does not read."""

    text: str | None


class SentenceAnswer(ClipAnswer):
    """One sentence of a call, in seconds from its start."""

    start_s: FiniteFloat
    end_s: FiniteFloat


class ModelAnswer(BaseModel):
    """The model that answered."""

    name: str
    version: str


class _Answer(BaseModel):
    together: Colour = Field(description="of all sentences: the sum of their probabilities")
    model: ModelAnswer
    timings_s: dict[str, FiniteFloat] = Field(description="by stage")
    trace_id: str


class ClipsAnswer(_Answer):
    """Clips of one speaker, in the order of the request."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "together": _EXAMPLE_COLOUR,
                "clips": [{**_EXAMPLE_COLOUR, "text": _EXAMPLE_TEXT}],
                **_EXAMPLE_REST,
            }
        }
    )

    clips: list[ClipAnswer]


class CallAnswer(_Answer):
    """A call: the customer's sentences in order of time. `flags` say what was unusual about the
    recording, such as `mulaw`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "together": _EXAMPLE_COLOUR,
                "sentences": [
                    {**_EXAMPLE_COLOUR, "start_s": 1.96, "end_s": 5.94, "text": _EXAMPLE_TEXT}
                ],
                "flags": ["mulaw"],
                **_EXAMPLE_REST,
            }
        }
    )

    sentences: list[SentenceAnswer]
    flags: list[str]


class JobCallSource(CallRequest):
    """One call of a job."""

    name: str = Field(
        "",
        max_length=200,
        description="what the results call it, such as a call's id; empty: its URI",
    )


class JobRequest(Strict):
    """Calls to recognise in the background."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "calls": [
                    {"name": "K00046", "uri": "s3://recordings/2026-02/K00046.ogg", "channel": 1}
                ]
            }
        }
    )

    calls: list[JobCallSource] = Field(min_length=1)


class JobCounts(BaseModel):
    """Calls of a job by state."""

    total: int
    waiting: int
    running: int
    done: int
    failed: int
    cancelled: int


class JobAnswer(BaseModel):
    """A job. `state`: queued (nothing begun), running, done (every call was tried; `failed` of
    them in vain), cancelled."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0f2b6c1e9a7d4c35",
                "state": "running",
                "calls": {
                    "total": 3,
                    "waiting": 1,
                    "running": 1,
                    "done": 1,
                    "failed": 0,
                    "cancelled": 0,
                },
                "created_at": "2026-03-02T08:15:00Z",
                "ended_at": None,
            }
        }
    )

    id: str
    state: Literal["queued", "running", "done", "cancelled"]
    calls: JobCounts
    created_at: datetime
    ended_at: datetime | None


class JobCallAnswer(BaseModel):
    """One call of a job: its answer, or what is wrong with it, or neither yet."""

    number: int = Field(description="from 0, in the order of the request")
    name: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    answer: CallAnswer | None
    error: ErrorDetail | None


class JobResults(BaseModel):
    """A page of results; `next` is the `after` of the following one, null on the last."""

    calls: list[JobCallAnswer]
    next: int | None


class HealthAnswer(BaseModel):
    """The process is alive."""

    status: Literal["alive"]


class ReadyAnswer(BaseModel):
    """The service can answer, with this model."""

    status: Literal["ready"]
    model: ModelAnswer


def colour_of(result: Recognition | NothingUsable, abstain_below: float = 0.0) -> Colour:
    """`abstain_below`: no colour is named where the confidence is less."""
    if not isinstance(result, Recognition):
        return Colour(
            primary=None,
            secondary=None,
            probabilities=None,
            confidence=None,
            abstained=False,
            clips=0,
            reason=result.reason,
        )
    confidence = result.probabilities[result.primary]
    abstained = confidence < abstain_below
    return Colour(
        primary=None if abstained else result.primary,
        secondary=None if abstained else result.secondary,
        probabilities=dict(result.probabilities),
        confidence=confidence,
        abstained=abstained,
        clips=result.clips,
        reason=f"confidence {confidence:.3f} is below {abstain_below:g}" if abstained else None,
    )


def clip_answer(clip: ClipRecognition, abstain_below: float = 0.0) -> ClipAnswer:
    colour = colour_of(clip.result, abstain_below)
    return ClipAnswer(**colour.model_dump(), text=clip.text)


def sentence_answer(sentence: SentenceRecognition, abstain_below: float = 0.0) -> SentenceAnswer:
    colour = colour_of(sentence.result, abstain_below)
    return SentenceAnswer(
        **colour.model_dump(),
        text=sentence.text,
        start_s=round(sentence.start_s, 3),
        end_s=round(sentence.end_s, 3),
    )


def model_answer(model: ServedModel) -> ModelAnswer:
    return ModelAnswer(name=model.name, version=model.version)
