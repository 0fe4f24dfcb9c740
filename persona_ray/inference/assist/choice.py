"""From the fit of each script to what is put before the agent.

Conditions leave the scripts that may be said. The best of them by the ranker are weighed with where
the call is, how the sentence relates to the turns before, the mood and the customer's colour. One
is drawn to be the large one: by a softmax over the scores, now and then evenly, so that what was
shown can later judge another ranker (Horvitz and Thompson 1952). The chance of each is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from persona_ray.asr.text import normalise
from persona_ray.conversation import Relation
from persona_ray.inference.assist.reasons import because
from persona_ray.inference.assist.records import Candidate, NoSuggestion, Suggestion

if TYPE_CHECKING:
    from persona_ray.config.assist import ChoiceConfig
    from persona_ray.conversation import Conditions, Script, ScriptLibrary
    from persona_ray.inference.assist.records import SpeechInformation

# What the customer says to be done with a question: without a script there is no gap.
_ASK_NOTHING = (Relation.ANSWER, Relation.AGREEMENT)
# Chance of the emotions after which a script may not be said, from which it may not.
_NEVER_FROM = 0.5


def choose(
    information: SpeechInformation,
    library: ScriptLibrary,
    targets: Mapping[str, float],
    shown: Mapping[str, int],
    draw: float,
    config: ChoiceConfig,
    ranker: str = "",
) -> Suggestion | NoSuggestion:
    """`targets`: of each script, as `ScriptRanker.targets`; `shown`: how often each was in this
    call; `draw` in [0, 1) decides which candidate is large. The same input gives the same."""
    scripts = eligible(information, library, shown)
    if isinstance(scripts, NoSuggestion):
        return scripts
    nearest = sorted(scripts, key=lambda script: (-targets[script.id], script.id))
    nearest = nearest[: config.candidates]
    if targets[nearest[0].id] < config.least:
        asked = information.relation not in _ASK_NOTHING
        return NoSuggestion("nothing_fits" if asked else "nothing_to_say")
    weighed = [
        (script, _parts(script, information, targets[script.id], shown.get(script.id, 0), config))
        for script in nearest
    ]
    weighed.sort(key=lambda one: (-sum(one[1].values()), one[0].id))
    scores = [sum(parts.values()) for _, parts in weighed]
    chances = propensities(scores, config.temperature, config.explore)
    candidates = tuple(
        Candidate(script, score, parts, chance)
        for (script, parts), score, chance in zip(weighed, scores, chances, strict=True)
    )
    large = drawn(chances, draw)
    others = [place for place in range(len(candidates)) if place != large]
    return Suggestion(
        candidates=candidates,
        shown=(large, *others[: config.shown - 1]),
        explored=large != 0,
        because=because(information, candidates[large], explored=large != 0),
        library=f"{library.name} {library.version} {library.digest}",
        ranker=ranker,
    )


def eligible(
    information: SpeechInformation, library: ScriptLibrary, shown: Mapping[str, int]
) -> tuple[Script, ...] | NoSuggestion:
    """The scripts that may be said now, or why there are none. A product that no script names is
    an unknown scene, unless the scripts are for any product."""
    if not normalise(information.sentence.text):
        return NoSuggestion("nothing_to_say")
    if not library.scripts:
        return NoSuggestion("empty_library")
    products = {script.product for script in library.scripts.values()}
    product = information.scene.product
    if product not in products and products != {""}:
        return NoSuggestion("unknown_scene")
    found = tuple(
        script
        for script in library.scripts.values()
        if script.product in ("", product)
        and shown.get(script.id, 0) < script.max_uses
        and hold(script.conditions, information)
    )
    return found or NoSuggestion("no_script")


def hold(conditions: Conditions, information: SpeechInformation) -> bool:
    """Whether each condition holds. One on colours does not where the colour is not known."""
    scene, mood = information.scene, information.mood
    colour = max(information.colour.items(), key=lambda one: one[1], default=("", 0.0))[0]
    wanted = (
        (conditions.steps, scene.step),
        (conditions.campaigns, scene.campaign),
        (conditions.relations, information.relation),
        (conditions.emotions, mood.emotion),
        (conditions.colours, colour),
    )
    if not all(not names or name in names for names, name in wanted):
        return False
    never = sum(mood.combined.get(emotion, 0.0) for emotion in conditions.never)
    return mood.emotion not in conditions.never and never < _NEVER_FROM


def propensities(scores: Sequence[float], temperature: float, explore: float) -> list[float]:
    """Of each score the chance to be drawn: `explore` evenly, the rest by a softmax. They sum to 1,
    and a higher score has no smaller chance."""
    best = max(scores)
    weights = [math.exp((score - best) / temperature) for score in scores]
    total = sum(weights)
    even = explore / len(scores)
    return [even + (1 - explore) * weight / total for weight in weights]


def drawn(chances: Sequence[float], draw: float) -> int:
    """The place that `draw`, in [0, 1), falls on."""
    reached = 0.0
    for place, chance in enumerate(chances):
        reached += chance
        if draw < reached:
            return place
    # Sums of chances are not exact.
    return len(chances) - 1


def _parts(
    script: Script,
    information: SpeechInformation,
    target: float,
    shown: int,
    config: ChoiceConfig,
) -> dict[str, float]:
    """What the score adds up from: a bonus for a script that was written for just this, by how
    likely it is."""
    when = script.conditions
    mood = sum(information.mood.combined.get(emotion, 0.0) for emotion in when.emotions)
    colour = sum(information.colour.get(name, 0.0) for name in when.colours)
    return {
        "target": target,
        "scene": config.scene_bonus * (information.scene.step in when.steps),
        "relation": config.relation_bonus * (information.relation in when.relations),
        "emotion": config.emotion_bonus * mood,
        "colour": config.colour_bonus * colour,
        "repeated": -config.repeated * shown,
    }
