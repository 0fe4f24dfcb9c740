"""What the routes of assistance are built from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from persona_ray.serving.gate import Caller, Gate, acting_for
from persona_ray.serving.metrics import Metrics

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.seams import Parts
    from persona_ray.serving.service import ServedModel
    from persona_ray.store import Store


class ScriptsInUse(Protocol):
    """Which scripts calls are answered from."""

    async def current(self) -> ScriptLibrary:
        """Those that a call begins with now."""
        ...

    async def begun_with(self, name: str, version: str) -> ScriptLibrary:
        """Those that a call began with; the current ones where they are gone."""
        ...


@dataclass(frozen=True, slots=True)
class AssistServices:
    """Of one web application. `served`: the emotion model, for probes. `models`: name and version
    by part. `scripts`: of whoever answers calls. `woken` is set where there is
    something new for devices."""

    config: RunConfig
    parts: Parts
    store: Store
    served: ServedModel
    scripts: ScriptsInUse
    metrics: Metrics = field(default_factory=Metrics)
    models: Mapping[str, str] = field(default_factory=dict)
    gate: Gate = field(init=False)
    woken: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gate", Gate(self.store, self.config.serving.keys))

    async def model(self) -> ServedModel:
        """The emotion model that answers now."""
        return self.served


def agent_of(caller: Caller, agent_id: str) -> str:
    """The agent that a caller acts for: see `acting_for`."""
    return acting_for(caller, agent_id, "assist.agent", "agent")
