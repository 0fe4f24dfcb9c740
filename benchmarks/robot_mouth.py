"""How long the robot's lines take to speak, and how much memory all of them are.

    python -m benchmarks.robot_mouth
    python -m benchmarks.robot_mouth --lines 6 --set screening.dialogue.voice=kokoro \\
        --set screening.dialogue.voices_folder=DIR
"""

from __future__ import annotations

import asyncio
import time

import numpy as np

from benchmarks.shared import arguments
from persona_ray.config import load_config
from persona_ray.inference.screening.dialogue.dialogue_set import load_dialogue_set
from persona_ray.inference.screening.mouth import SpeakingMouth, build_mouth


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--lines", type=int, default=0, help="so many of them; default: all")
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides).screening
    begun = time.perf_counter()
    mouth = build_mouth(config.dialogue)
    ready = time.perf_counter() - begun
    dialogue = load_dialogue_set(config.dialogue.set, config.policy.categories)
    lines = list(dict.fromkeys(dialogue.spoken()))
    lines = lines[: chosen.lines or len(lines)]
    asyncio.run(_measure(mouth, ready, lines))


async def _measure(mouth: SpeakingMouth, ready: float, lines: list[str]) -> None:
    took, seconds, size = [], [], 0
    for text in lines:
        begun = time.perf_counter()
        samples, rate_hz = await mouth.speak(text)
        took.append((time.perf_counter() - begun) * 1e3)
        seconds.append(samples.size / rate_hz)
        size += samples.nbytes
    begun = time.perf_counter()
    for text in lines:
        await mouth.speak(text)
    again = (time.perf_counter() - begun) / len(lines) * 1e6
    print(f"{mouth.name}: ready in {ready:.2f} s; {len(lines)} lines of {np.mean(seconds):.1f} s")
    print(
        f"  first time: median {np.median(took):.0f} ms, p95 {np.quantile(took, 0.95):.0f} ms, "
        f"all {sum(took) / 1e3:.1f} s; again: {again:.0f} us; {size / 1e6:.0f} MB kept"
    )


if __name__ == "__main__":
    main()
