"""What the routes of screening are built from."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from persona_ray.serving.gate import Caller, Gate, acting_for
from persona_ray.serving.metrics import Metrics
from persona_ray.serving.screening.consequences import Consequences, NoConsequences
from persona_ray.serving.screening.links import Links, shared_secret
from persona_ray.serving.screening.recordings import Recordings
from persona_ray.vault.seal import Vault, vault_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_ray.config import RunConfig
    from persona_ray.inference.screening.seams import (
        Categories,
        Ears,
        Lines,
        Mouth,
        Robot,
        Sources,
        Voices,
    )
    from persona_ray.serving.service import ServedModel
    from persona_ray.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """Whoever answers at each seam: in this process, or deployments on Ray Serve."""

    sources: Sources
    voices: Voices
    ears: Ears
    categories: Categories
    robot: Robot
    lines: Lines
    mouth: Mouth


@dataclass(frozen=True, slots=True)
class ScreeningServices:
    """Of one web application. `served`: the category model, for probes. `models`: names of the
    others, for verdicts. `woken` is set where there is a new notice."""

    config: RunConfig
    parts: Parts
    store: Store
    served: ServedModel
    metrics: Metrics = field(default_factory=Metrics)
    consequences: Consequences = field(default_factory=NoConsequences)
    models: Mapping[str, str] = field(default_factory=dict)
    gate: Gate = field(init=False)
    links: Links = field(init=False)
    recordings: Recordings = field(init=False)
    vault: Vault = field(init=False)
    woken: asyncio.Event = field(init=False, default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        config = self.config
        links = Links(shared_secret(config, "links"), config.screening.records.link_s)
        object.__setattr__(self, "gate", Gate(self.store, config.serving.keys))
        object.__setattr__(self, "links", links)
        object.__setattr__(self, "recordings", Recordings(config.workspace))
        object.__setattr__(self, "vault", vault_of(config))

    async def model(self) -> ServedModel:
        """The category model that answers now."""
        return self.served


def user_of(caller: Caller, user_id: str) -> str:
    """Whom a caller acts for: the user whose id is its key's name; with the scope `operator` the
    one that is named. Raises RequestError: 403 for another's, 422 where none is named."""
    return acting_for(caller, user_id, "screening.user", "user")
