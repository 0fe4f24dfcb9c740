"""Where an assisted call can be gone on with, as the store keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from persona_ray.conversation import Scene, Speaker
from persona_ray.inference.assist.records import Sentence
from persona_ray.serving.live.state import LiveState, changed_meanwhile, read_state

if TYPE_CHECKING:
    from persona_ray.config import RunConfig


class MindState(BaseModel):
    """What a call knows but for its sound: where it is, the last turns without their words, `turns`
    as `Turns` dumps it, `pushes` as `PushPolicy` does; `shown`: how often each script was;
    `library`: name and version of the scripts that the call began with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: str
    step: str
    campaign: str
    library: tuple[str, str]
    colour: dict[str, float]
    before: tuple[Sentence, ...] = ()
    turns: dict[str, Any] = {}
    pushes: dict[str, Any] = {}
    shown: dict[str, int] = {}
    heard: int = 0
    pushed: int = 0

    @property
    def scene(self) -> Scene:
        return Scene(self.product, self.step, self.campaign)


class AssistState(BaseModel):
    """Frame and offset as `LiveState` has them, for both channels; `channels`: each one's, where
    anything of it is settled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    frame: int
    offset: int
    heard_s: float
    channels: dict[Speaker, LiveState]
    mind: MindState


def read_assist_state(kept: Mapping[str, Any], config: RunConfig) -> AssistState:
    """Raises RequestError where another release or configuration left it."""
    try:
        state = AssistState.model_validate(kept)
    except ValidationError:
        raise changed_meanwhile() from None
    for channel in state.channels.values():
        read_state(channel.model_dump(), config)
    return state
