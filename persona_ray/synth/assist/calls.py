"""Whole stereo calls of the demo: a script of turns with planted moods, and its sound.

A folder of calls holds `calls.yaml`; `speak_folder` writes for each call `ID.ogg` (8 kHz, the agent
on channel 0, the customer on 1), and `turns.jsonl`: what is said when, and its truth.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, model_validator

from persona_ray.config.base import Section
from persona_ray.conversation import Emotion, Relation, Speaker
from persona_ray.errors import ConfigError
from persona_ray.synth import sound
from persona_ray.synth.assist.speaking import speak
from persona_ray.synth.assist.tones import planted
from persona_ray.synth.callers import RATE_HZ, CallerVoice, Name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.conversation import Script, Tone
    from persona_ray.progress import Progress
    from persona_ray.synth.assist.world import World
    from persona_ray.tts.base import Synthesizer, Voice

CALLS, TURNS = "calls.yaml", "turns.jsonl"
CHANNELS = {Speaker.AGENT: 0, Speaker.CUSTOMER: 1}
_NOISE_DBFS = -75.0
_BEFORE_S, _AFTER_S = 0.3, 1.5  # of a call: the last sentence must be seen to end


class CallTurn(Section):
    """What the agent says (`agent`: own words; `script`: one of the library), or the customer.

    Of a customer's turn its truth is told, too. `sounds`: the mood that it sounds like, where that
    is not the `emotion`.
    """

    agent: str = ""
    script: str = ""
    customer: str = ""
    step: str = ""
    topic: str = ""
    relation: Relation = Relation.STATEMENT
    emotion: Emotion = Emotion.NEUTRAL
    sounds: Emotion | None = None
    gap_s: float = Field(0.5, ge=-3, le=5, description="after the turn before; below 0: over it")

    @model_validator(mode="after")
    def _somebody_speaks(self) -> CallTurn:
        if sum(map(bool, (self.agent, self.script, self.customer))) != 1:
            raise ValueError("a turn has one of agent, script and customer")
        if self.customer and not (self.step and self.topic):
            raise ValueError(f"turn '{self.customer[:20]}': give its step and topic")
        return self

    @property
    def speaker(self) -> Speaker:
        return Speaker.CUSTOMER if self.customer else Speaker.AGENT

    @property
    def tone(self) -> Tone:
        return planted(self.sounds or self.emotion)


class StereoCall(Section):
    """A call. `colour`: of the customer, by which scripts fit."""

    id: Name
    about: str
    product: str
    campaign: str = ""
    colour: Literal["red", "blue", "yellow", "green"]
    customer: str
    agent: str
    turns: Annotated[tuple[CallTurn, ...], Field(min_length=1)]


class StereoCalls(Section):
    """All calls of a demo; `voices` by name."""

    voices: dict[str, CallerVoice]
    calls: Annotated[tuple[StereoCall, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _voices_are_known(self) -> StereoCalls:
        for call in self.calls:
            for name in (call.customer, call.agent):
                if name not in self.voices:
                    known = ", ".join(sorted(self.voices))
                    raise ValueError(f"call '{call.id}': voice '{name}' is none of {known}")
        return self


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A turn and where in the call it is, in seconds."""

    turn: CallTurn
    text: str
    start_s: float
    end_s: float


def read_calls(folder: Path) -> StereoCalls:
    """Of a folder. Raises ConfigError."""
    from persona_ray.config.loader import load_section

    return load_section(StereoCalls, folder / CALLS)


def speak_folder(folder: Path, world: World, synthesizer: Synthesizer, progress: Progress) -> int:
    """Speak every call anew; how many turns they have. Raises ConfigError, SynthesisError."""
    import soundfile

    from persona_ray.files import draft, write_whole

    script, rows, count = read_calls(folder), [], 0
    with progress.stage("speaking calls", len(script.calls)) as stage:
        for number, call in enumerate(script.calls):
            samples, spoken = _mixed(number, call, script.voices, world.scripts, synthesizer)
            with draft(folder / f"{call.id}.ogg") as file:
                soundfile.write(file, samples, RATE_HZ, format="OGG")
            rows += [_row(call, one, world) for one in spoken]
            count += len(spoken)
            stage.advance()
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    write_whole(folder / TURNS, "".join(f"{line}\n" for line in lines))
    return count


def _mixed(
    number: int,
    call: StereoCall,
    voices: Mapping[str, CallerVoice],
    scripts: Mapping[str, Script],
    synthesizer: Synthesizer,
) -> tuple[NDArray[np.float32], list[SpokenTurn]]:
    """Samples (n, 2) and what is where."""
    placed: list[tuple[int, NDArray[np.float32]]] = []
    spoken: list[SpokenTurn] = []
    end = _BEFORE_S
    for turn, text in _texts(call, scripts):
        name = call.customer if turn.customer else call.agent
        samples = speak(synthesizer, text, _voice(name, voices[name]), turn.tone, RATE_HZ)
        start = max(0.0, end + turn.gap_s) if spoken else end
        spoken.append(SpokenTurn(turn, text, start, start + samples.size / RATE_HZ))
        placed.append((round(start * RATE_HZ), samples))
        end = max(end, spoken[-1].end_s)
    length = round((end + _AFTER_S) * RATE_HZ)
    rng = np.random.default_rng(number)
    mixed = np.stack([sound.line_noise(rng, length, _NOISE_DBFS) for _ in CHANNELS], axis=1)
    for (first, samples), one in zip(placed, spoken, strict=True):
        mixed[first : first + samples.size, CHANNELS[one.turn.speaker]] += samples
    return np.clip(mixed, -1, 1), spoken


def _texts(call: StereoCall, scripts: Mapping[str, Script]) -> Iterator[tuple[CallTurn, str]]:
    for turn in call.turns:
        if turn.script and turn.script not in scripts:
            raise ConfigError(f"call '{call.id}': the library has no script '{turn.script}'")
        yield turn, scripts[turn.script].text if turn.script else turn.agent or turn.customer


def _voice(name: str, caller: CallerVoice) -> Voice:
    from persona_ray.tts.base import Voice as SpokenVoice

    return SpokenVoice(name, caller.sex, tuple(sorted(caller.timbre.items())), pitch=caller.pitch)


def _row(call: StereoCall, spoken: SpokenTurn, world: World) -> dict[str, Any]:
    turn = spoken.turn
    times = {"start_s": round(spoken.start_s, 2), "end_s": round(spoken.end_s, 2)}
    row = {"call": call.id, "speaker": turn.speaker, **times, "text": spoken.text}
    if not turn.customer:
        return {**row, "script": turn.script} if turn.script else row
    fits = world.fits(call.product, turn.step, turn.topic, turn.emotion, call.colour)
    truth = turn.model_dump(mode="json", include={"step", "topic", "relation", "emotion"})
    return {**row, **truth, "sounds": turn.sounds or turn.emotion, "fits": fits}
