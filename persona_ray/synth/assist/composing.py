"""Conversations as agents lead them who often, not always, find what suits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.synth.assist.world import PlantedCall, PlantedCustomer, PlantedTurn, World

if TYPE_CHECKING:
    from persona_ray.conversation import Outcome, Script

_CALLS_OF_ONE = 3  # of a customer, at most
# What agents say, as a rule: what suits, another style, another topic, anything.
_HABITS = (0.55, 0.30, 0.11, 0.04)


@dataclass(frozen=True, slots=True)
class Answered:
    """A customer's turn, what the agent answered, and how that was judged, 0 to 100."""

    turn: PlantedTurn
    script: Script
    score: float


@dataclass(frozen=True, slots=True)
class PlantedConversation:
    """A whole call."""

    id: str
    customer: PlantedCustomer
    product: str
    outcome: Outcome
    turns: tuple[Answered, ...]


def compose(world: World, count: int, seed: int, name: str) -> Iterator[PlantedConversation]:
    """`count` calls, up to three of a customer. The same for the same seed; the first are those of
    a smaller count. `name` begins every id."""
    number = 0
    person = 0
    while number < count:
        rng = np.random.default_rng(np.random.SeedSequence([seed, person, *name.encode()]))
        customer = world.customer(rng, f"{name}-{seed}-u{person:05d}")
        for _ in range(min(int(rng.integers(1, _CALLS_OF_ONE + 1)), count - number)):
            product = str(rng.choice(world.products))
            yield _lead(world, world.call(rng, customer, product), f"{name}-{seed}-{number:06d}")
            number += 1
        person += 1


def _lead(world: World, call: PlantedCall, call_id: str) -> PlantedConversation:
    answered = []
    while (turn := call.speak()) is not None:
        script = _habitual(world, call.rng, turn)
        answered.append(Answered(turn, script, call.hear(script).score))
    return PlantedConversation(
        call_id, call.customer, call.product, call.outcome(), tuple(answered)
    )


def _habitual(world: World, rng: np.random.Generator, turn: PlantedTurn) -> Script:
    scripts = list(world.scripts.values())
    mine = [one for one in scripts if one.product in ("", turn.product)]
    pools: list[Sequence[Script]] = [
        [world.scripts[one] for one in turn.fits],
        [one for one in mine if one.topic == turn.topic],
        [one for one in mine if one.topic != turn.topic],
        scripts,
    ]
    pool = pools[int(rng.choice(len(pools), p=_HABITS))]
    return pool[int(rng.integers(len(pool)))]
