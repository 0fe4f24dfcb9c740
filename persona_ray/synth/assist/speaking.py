"""A sentence spoken in a planted tone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from persona_ray.synth import sound
from persona_ray.synth.speakers import Prosody
from persona_ray.tts.kokoro import play_faster

if TYPE_CHECKING:
    from persona_ray.conversation import Tone
    from persona_ray.tts.base import Synthesizer, Voice
    from persona_ray.types import Samples

_EFFORT = 0.4  # who is louder by a dB has highs louder by so much more


def speak(synthesizer: Synthesizer, text: str, voice: Voice, tone: Tone, rate_hz: int) -> Samples:
    """`text` as mono samples (n,) of the telephone at `rate_hz`, beside the voice's usual way by
    `tone`. Its range stays the engine's, and no pause of it is shortened. Raises SynthesisError.
    """
    shift = 2 ** (tone.pitch_st / 12)
    spoken, from_hz = synthesizer.synthesize(text, voice, 2**tone.rate / shift)
    samples = play_faster(spoken, shift)
    pause = max(tone.pause, 0.0)
    prosody = Prosody(
        rate=1.0,
        pitch=1.0,
        level_db=tone.level_db,
        effort_db=_EFFORT * tone.level_db,
        pause_s=samples.size / from_hz * pause / (1 - pause),
        latency_s=0.0,
    )
    return sound.deliver(samples, from_hz, rate_hz, prosody)
