"""How planted tones are heard when a synthesiser speaks them, beside how they are simulated.

    python -m benchmarks.assist_tones --calls 30
    python -m benchmarks.assist_tones --calls 9 --kokoro package/voices

Customers of held-out wordings are spoken sentence by sentence in the tone of their mood, without
scatter, at 8 kHz; each call has a voice of its own pitch. Measured as in a live call: beside the
speaker's baseline so far. Printed for sentences whose baseline rests on six seconds or more:
`slope`, the share of the planted difference that is heard, and `scatter` around that line, of one
speaker; `simulated` is the scatter that the generator of conversations draws. Then the median tone
of each mood as heard.
"""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.shared import described
from persona_ray.audio.prosody import prosody
from persona_ray.audio.vad import Span
from persona_ray.config.assist import AssistConfig
from persona_ray.conversation import Emotion
from persona_ray.inference.assist.baseline import Baseline
from persona_ray.inference.assist.library import load_library
from persona_ray.synth.assist.composing import compose
from persona_ray.synth.assist.speaking import speak
from persona_ray.synth.assist.tones import SOUNDS, WITHIN, planted
from persona_ray.synth.assist.world import World
from persona_ray.synth.dialogues.scenes import Part
from persona_ray.tts.base import Voice
from persona_ray.types import Word

if TYPE_CHECKING:
    from persona_ray.audio.prosody import Prosody
    from persona_ray.conversation import Tone
    from persona_ray.tts.base import Synthesizer

RATE_HZ = 8000
FEATURES = ("pitch_st", "range_st", "level_db", "rate", "pause")


def heard(synthesizer: Synthesizer, text: str, voice: Voice, tone: Tone) -> Prosody:
    """Of one sentence; words are characters at even distances, as recognition would have them."""
    samples = speak(synthesizer, text, voice, tone, RATE_HZ)
    length_s = samples.size / RATE_HZ
    step_s = length_s / len(text)
    words = [Word(one, at * step_s, (at + 1) * step_s) for at, one in enumerate(text)]
    return prosody(samples, RATE_HZ, [Span(0.0, length_s)], words)[0]


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--calls", type=int, default=30)
    parser.add_argument("--kokoro", type=Path, help="folder of Kokoro's voices; else espeak-ng")
    chosen = parser.parse_args()
    config = AssistConfig()
    world = World(load_library("", config.steps).scripts, Part.TEST)
    rng = np.random.default_rng(5)
    synthesizer = _synthesizer(chosen.kokoro)
    moods: list[Emotion] = []
    rows: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
    for number, call in enumerate(compose(world, chosen.calls, 11, "tones")):
        sex = ("female", "male")[number % 2]
        timbre = _timbre(chosen.kokoro, sex, number)
        voice = Voice(call.id, sex, timbre, pitch=rng.uniform(0.9, 1.1))
        baseline = Baseline(config.ears.baseline_s)
        for answered in call.turns:
            turn = answered.turn
            sound = heard(synthesizer, turn.text, voice, planted(turn.sounds))
            tone, _ = baseline.tones(sound, ())
            baseline.add(sound)
            if tone.sure >= 1 and tone.voiced:
                moods.append(turn.sounds)
                rows.append((SOUNDS[turn.sounds], astuple(tone)[:5]))
    _print(moods, np.array([row[0] for row in rows]), np.array([row[1] for row in rows]))


def _synthesizer(kokoro: Path | None) -> Synthesizer:
    if kokoro is None:
        from persona_ray.tts.espeak import EspeakSynthesizer

        return EspeakSynthesizer()
    from persona_ray.tts.kokoro import KokoroSynthesizer

    return KokoroSynthesizer(kokoro)


def _timbre(kokoro: Path | None, sex: str, number: int) -> tuple[tuple[str, float], ...]:
    from persona_ray.tts.kokoro import BASE_VOICES

    return () if kokoro is None else ((BASE_VOICES[sex][number // 2 % 4], 1.0),)


def _print(moods: list[Emotion], spoken: np.ndarray, measured: np.ndarray) -> None:
    print(f"{len(moods)} sentences with a full baseline")
    print(f"{'feature':10} slope  scatter  simulated")
    for at, name in enumerate(FEATURES):
        slope, offset = np.polyfit(spoken[:, at], measured[:, at], 1)
        scatter = np.std(measured[:, at] - slope * spoken[:, at] - offset)
        print(f"{name:10} {slope:5.2f}  {scatter:7.3f}  {WITHIN[at]:9.3f}")
    print("median as heard")
    for mood in Emotion:
        if own := [at for at, one in enumerate(moods) if one is mood]:
            values = "  ".join(f"{value:6.2f}" for value in np.median(measured[own], axis=0))
            print(f"{mood.value:13} {len(own):4}  {values}")


if __name__ == "__main__":
    main()
