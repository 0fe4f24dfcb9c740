"""How far an assisted call is settled: where whoever comes again goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.serving.assist.state import AssistState
from persona_ray.serving.live.state import LiveState

if TYPE_CHECKING:
    from collections.abc import Collection

    from persona_ray.config import RunConfig
    from persona_ray.conversation import Speaker
    from persona_ray.serving.assist.state import MindState
    from persona_ray.serving.live.endpoint import Checkpoint
    from persona_ray.serving.live.frames import ChannelsIntake


class Settled:
    """Of each channel a checkpoint, of both the last `frame` that is settled, and `offset` in the
    next one, as `LiveState` has them."""

    def __init__(self, state: AssistState | None, config: RunConfig) -> None:
        """`state` None: nothing is."""
        self.frame, self.offset = (state.frame, state.offset) if state else (0, 0)
        self._channels: dict[Speaker, LiveState] = dict(state.channels) if state else {}
        self._config = config

    def checkpoint(self, speaker: Speaker) -> Checkpoint | None:
        kept = self._channels.get(speaker)
        return None if kept is None else kept.checkpoint

    def keep(
        self,
        speaker: Speaker,
        checkpoint: Checkpoint,
        intake: ChannelsIntake,
        speakers: Collection[Speaker],
    ) -> None:
        """What this channel held before is settled; a frame is where all `speakers`' are."""
        self._channels[speaker] = LiveState.of(checkpoint, 0, 0, intake.heard_s, self._config)
        positions = (
            self._channels[one].position if one in self._channels else 0 for one in speakers
        )
        self.frame, self.offset = intake.settled(min(positions))

    def whole(self, intake: ChannelsIntake) -> None:
        """All that came is."""
        self.frame = intake.next_frame - 1

    def state(self, heard_s: float, mind: MindState) -> AssistState:
        """As the store keeps it."""
        return AssistState(
            frame=self.frame,
            offset=self.offset,
            heard_s=heard_s,
            channels=self._channels,
            mind=mind,
        )
