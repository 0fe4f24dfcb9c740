"""What an assisted call begins from, and what it has to settle, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from persona_ray.conversation import Scene, ScriptLibrary, Speaker
    from persona_ray.serving.assist.ear import Hearing
    from persona_ray.serving.assist.state import AssistState, MindState
    from persona_ray.serving.live.endpoint import Checkpoint, Utterance


@dataclass(frozen=True, slots=True)
class Begun:
    """`state` None: nothing of the call is settled. `library`: the scripts that it began with."""

    state: AssistState | None
    mind: MindState
    library: ScriptLibrary


@dataclass(frozen=True, slots=True)
class Ended:
    """A stretch of one channel ended, at `cut_at` of `time.monotonic`; no `utterance`: silence."""

    speaker: Speaker
    checkpoint: Checkpoint
    cut_at: float
    utterance: Utterance | None = None
    hearing: Hearing | None = None
    said_until_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Moved:
    """The scene, or what is known of the customer, is another from here on."""

    scene: Scene | None = None
    colour: dict[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Last:
    """There is no more."""


Step = Ended | Moved | Last
