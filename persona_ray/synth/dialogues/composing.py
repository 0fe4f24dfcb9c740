"""Dialogues of a caller and whoever answers, drawn from the scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from persona_ray.errors import ConfigError
from persona_ray.synth.dialogues.scenes import Part, Scene, SceneTexts, fill, load_scenes, of_part

CALLER, CALLEE = "caller", "callee"
FEWEST_TURNS, MOST_TURNS = 2, 8

_FRONT_CHANCE = 0.35  # the first turn tells nothing yet
_ROBOT_CHANCE = 0.6  # a robot answers, else a person
_LAST_WORD_CHANCE = 0.3  # the caller's, who then hangs up
_STEP_ODDS = (0.15, 0.25, 0.35, 0.25)  # of so many turns after the opening
_TRIES = 200


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """`speaker` is `caller` or `callee`."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class CallDialogue:
    """One call. `scene` is how it goes, within its category."""

    id: str
    category: str
    scene: str
    turns: tuple[SpokenTurn, ...]


def compose(count: int, seed: int, part: Part = Part.ALL) -> Iterator[CallDialogue]:
    """`count` dialogues, as many of each category, no two callers saying the same.

    The same for the same seed; the first dialogues are those of a smaller count. Raises ConfigError
    where the texts have no more of them.
    """
    texts = load_scenes()
    by_category = {
        category: [_held(scene, part) for scene in texts.scenes if scene.category == category]
        for category in texts.categories
    }
    order = np.random.default_rng(np.random.SeedSequence([seed, 0])).permutation(len(by_category))
    names = [texts.categories[place] for place in order]
    known: set[tuple[str, ...]] = set()
    for number in range(count):
        rng = np.random.default_rng(np.random.SeedSequence([seed, 1, number]))
        category = names[number % len(names)]
        yield _new(rng, texts, by_category[category], known, f"{part}-{seed}-{number:06d}")


def _held(scene: Scene, part: Part) -> Scene:
    return Scene(
        scene.category,
        scene.name,
        of_part(scene.fronts, part),
        of_part(scene.openings, part),
        tuple(of_part(step, part) for step in scene.steps),
    )


def _new(
    rng: np.random.Generator,
    texts: SceneTexts,
    scenes: list[Scene],
    known: set[tuple[str, ...]],
    dialogue_id: str,
) -> CallDialogue:
    for _ in range(_TRIES):
        scene = scenes[int(rng.integers(len(scenes)))]
        caller = _caller(rng, texts, scene)
        if tuple(caller) not in known:
            known.add(tuple(caller))
            turns = _answered(rng, texts, caller)
            return CallDialogue(dialogue_id, scene.category, scene.name, turns)
    raise ConfigError(
        f"no unused dialogue of '{scenes[0].category}' is left after {len(known)}: lower --count, "
        "or draw two sets with two seeds"
    )


def _caller(rng: np.random.Generator, texts: SceneTexts, scene: Scene) -> list[str]:
    """What the caller says, turn by turn."""
    said: dict[str, str] = {}
    front = rng.random() < _FRONT_CHANCE
    steps = int(rng.choice(len(_STEP_ODDS), p=_STEP_ODDS))
    room = MOST_TURNS // 2 - 1 - front
    turns = [scene.openings, *scene.steps[: min(steps, room)]]
    spoken = [fill(rng, str(rng.choice(turn)), texts.slots, said) for turn in turns]
    spoken = [spoken[0], *(_dressed(rng, texts, text) for text in spoken[1:])]
    if front:
        spoken.insert(0, fill(rng, str(rng.choice(scene.fronts)), texts.slots, said))
    return spoken


def _dressed(rng: np.random.Generator, texts: SceneTexts, text: str) -> str:
    """With what people put before and after, whatever they speak of."""
    lead = fill(rng, str(rng.choice(texts.leads)), texts.slots, {})
    tail = fill(rng, str(rng.choice(texts.tails)), texts.slots, {})
    return lead + text + (tail if not text.endswith("？") else "")


def _answered(
    rng: np.random.Generator, texts: SceneTexts, caller: list[str]
) -> tuple[SpokenTurn, ...]:
    people = [temper for temper in texts.callee if temper != "robot"]
    temper = "robot" if rng.random() < _ROBOT_CHANCE else str(rng.choice(people))
    lines = texts.callee[temper]
    later = rng.permutation(lines["later"])
    replies = [rng.choice(lines["first"]), *later[: len(caller) - 1]]
    turns = []
    for text, reply in zip(caller, replies, strict=True):
        turns += [SpokenTurn(CALLER, text), SpokenTurn(CALLEE, str(reply))]
    if len(turns) > FEWEST_TURNS and rng.random() < _LAST_WORD_CHANCE:
        turns.pop()
    return tuple(turns)
