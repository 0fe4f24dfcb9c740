"""Where a live call can be gone on with, as the store keeps it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from persona_ray.audio.vad import Span
from persona_ray.errors import RequestError
from persona_ray.serving.live.endpoint import Checkpoint

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

_STATE_SHAPE = (2, 1, 128)


class LiveState(BaseModel):
    """A checkpoint and the frames it stands for: `frame` is the last one that is settled, the next
    begins `offset` samples into the call. What the call was heard by stands beside it: another
    configuration would find other utterances."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    frame: int
    offset: int
    heard_s: float
    heard_by: dict[str, float]
    position: int
    frames: int
    network: str
    start_s: float | None
    quiet_since_s: float | None
    cut: bool
    spans: list[tuple[float, float]]
    last_end_s: float | None

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, frame: int, offset: int, heard_s: float, config: RunConfig
    ) -> LiveState:
        return cls(
            frame=frame,
            offset=offset,
            heard_s=heard_s,
            heard_by=_heard_by(config),
            position=checkpoint.position,
            frames=checkpoint.frames,
            network=base64.b64encode(checkpoint.state.tobytes()).decode(),
            start_s=checkpoint.start_s,
            quiet_since_s=checkpoint.quiet_since_s,
            cut=checkpoint.cut,
            spans=[(span.start_s, span.end_s) for span in checkpoint.spans],
            last_end_s=checkpoint.last_end_s,
        )

    @property
    def checkpoint(self) -> Checkpoint:
        network = np.frombuffer(base64.b64decode(self.network), dtype=np.float32)
        return Checkpoint(
            position=self.position,
            frames=self.frames,
            state=network.reshape(_STATE_SHAPE),
            start_s=self.start_s,
            quiet_since_s=self.quiet_since_s,
            cut=self.cut,
            spans=tuple(Span(start_s, end_s) for start_s, end_s in self.spans),
            last_end_s=self.last_end_s,
        )


def read_state(kept: Mapping[str, Any], config: RunConfig) -> LiveState:
    """Raises RequestError where another release or configuration left it."""
    try:
        state = LiveState.model_validate(kept)
    except ValidationError:
        state = None
    if state is None or state.heard_by != _heard_by(config):
        raise changed_meanwhile()
    return state


def changed_meanwhile() -> RequestError:
    """What was kept of a call is of no use to this release or configuration."""
    return RequestError(
        "live.changed",
        "the service was changed since the call began, in how it listens",
        status=409,
        field="resume_from",
        fix="start a new call",
    )


def _heard_by(config: RunConfig) -> dict[str, float]:
    return {"sample_rate_hz": config.audio.sample_rate_hz, **config.vad.model_dump()}
