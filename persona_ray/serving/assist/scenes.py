"""What a client names, checked: whose which channel is, the scene, the colour."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from persona_ray.conversation import Scene, Speaker
from persona_ray.errors import RequestError

if TYPE_CHECKING:
    from persona_ray.serving.assist.protocol import SceneNamed
    from persona_ray.serving.live.protocol import Sound

# Probabilities may be rounded.
_SUM = 1.02


def channels_of(sound: Sound) -> dict[Speaker, int]:
    """Of whom which channel is. Raises RequestError where nobody can tell."""
    if sound.channels > 2:
        raise RequestError(
            "assist.channels",
            f"{sound.channels} channels, of an agent and a customer",
            status=422,
            field="channels",
            fix="send two channels, or the customer's alone",
        )
    found = {Speaker.CUSTOMER: sound.customer_channel}
    if sound.channels == 2:
        found[Speaker.AGENT] = 1 - sound.customer_channel
    return found


def scene_named(named: SceneNamed, steps: Sequence[str], before: Scene | None = None) -> Scene:
    """`before`: where the call was. Raises RequestError for a step that is none of `steps`; which
    products there are is the library's to say."""
    step = named.step or (steps[0] if before is None else before.step)
    step_named(step, steps)
    campaign = named.campaign or ("" if before is None else before.campaign)
    return Scene(named.product, step, campaign)


def step_named(step: str, steps: Sequence[str]) -> str:
    """One of `steps`. Raises RequestError."""
    if step not in steps:
        raise RequestError(
            "assist.step",
            f"the step '{step}' is not one of a call's",
            status=422,
            field="step",
            fix=f"name one of {', '.join(steps)}, or leave it out",
        )
    return step


def told(scene: Scene) -> dict[str, str]:
    """As events and the store have it."""
    return {"product": scene.product, "step": scene.step, "campaign": scene.campaign}


def colour_named(shares: Mapping[str, float], labels: Collection[str]) -> dict[str, float]:
    """Probabilities of colours, summing to at most 1; empty: unknown. Raises RequestError."""
    wrong = [name for name in shares if name not in labels]
    if wrong:
        raise _refused(f"'{wrong[0]}' is no colour", f"name {', '.join(labels)}")
    values = list(shares.values())
    if any(not math.isfinite(share) or not 0 <= share <= 1 for share in values):
        raise _refused("a probability is not between 0 and 1", "send probabilities")
    if sum(values) > _SUM:
        raise _refused(f"probabilities of colours sum to {sum(values):.2f}", "send probabilities")
    return {name: float(share) for name, share in shares.items()}


def _refused(message: str, fix: str) -> RequestError:
    return RequestError("assist.colour", message, status=422, field="colour", fix=fix)
