"""How well moods of planted calls could be read by one who knows how the calls are made.

    python -m benchmarks.assist_ceiling

Bayes' rule over the generator's own chances: of moods by topic, colour and course of the call, of
clauses by mood, of tones by mood. By words and sound, each alone, and neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.shared import arguments
from persona_ray.config.assist import AssistConfig
from persona_ray.conversation import Emotion
from persona_ray.inference.assist.library import load_library
from persona_ray.synth.assist import tones
from persona_ray.synth.assist.composing import compose
from persona_ray.synth.assist.moods import Shown
from persona_ray.synth.assist.world import PlantedTurn, World


def ideal(world: World, turn: PlantedTurn, words: bool, sound: bool) -> Emotion:
    """The likeliest mood."""

    def belief(emotion: Emotion) -> float:
        heard = {
            sounds: tones.likelihood(turn.tone, sounds) if sound else 1.0
            for sounds in (emotion, Emotion.NEUTRAL)
        }
        return turn.expected[emotion] * sum(
            chance * heard[way.sounds]
            for way, chance in world.ways[emotion]
            if way.clause == turn.clause or not words
        )

    return max(turn.expected, key=belief)


def share(world: World, turns: Sequence[PlantedTurn], words: bool, sound: bool) -> float:
    """Of turns whose mood is read."""
    return float(np.mean([ideal(world, turn, words, sound) is turn.emotion for turn in turns]))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--seed", type=int, default=3)
    chosen = parser.parse_args()
    world = World(load_library("", AssistConfig().steps).scripts)
    calls = compose(world, chosen.calls, chosen.seed, "all")
    turns = [answered.turn for call in calls for answered in call.turns]
    print(f"{len(turns)} turns; mood shown in {'':8}  all   " + "  ".join(Shown))
    for name, words, sound in (
        ("words and sound", True, True),
        ("words", True, False),
        ("sound", False, True),
        ("neither", False, False),
    ):
        shares = [share(world, turns, words, sound)] + [
            share(world, [turn for turn in turns if turn.shown is shown], words, sound)
            for shown in Shown
        ]
        print(f"{name:32}" + "  ".join(f"{one:.3f}" for one in shares))


if __name__ == "__main__":
    main()
