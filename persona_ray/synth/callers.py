"""Callers of a screening demo: a script of calls, and their turns as sound.

A folder of calls holds `calls.yaml` and, for each call that says something, `ID-1.ogg`, `ID-2.ogg`:
its turns, mono, 8 kHz.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from persona_ray.config.base import Section
from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.progress import Progress
    from persona_ray.tts.base import Synthesizer
    from persona_ray.types import Samples

SCRIPT = "calls.yaml"
RATE_HZ = 8000
Standing = Literal["normal", "abnormal", "illegal"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]


class KnownNumber(Section):
    """What the service knows of a number before the first call; no owner: a shared set."""

    number: str
    owner: str = ""
    standing: Standing
    category: str = ""
    name: str = ""


class Speech(Section):
    """What one of the callers says, turn by turn."""

    id: Name
    caller: str = ""
    says: tuple[str, ...] = ()


class KnownVoice(Speech):
    """A voice that an operator has marked; it says what it was marked for."""

    standing: Standing
    category: str
    says: Annotated[tuple[str, ...], Field(min_length=1)]


class CallerVoice(Section):
    """Who speaks: base voices of the synthesiser and their weights."""

    sex: Literal["female", "male"]
    timbre: dict[str, float]
    pitch: float = Field(1.0, gt=0.5, lt=2, description="a ratio to the blend's own")


class Expected(Section):
    """What must become of a call, and what that must rest on."""

    outcome: str
    standing: Standing
    category: str = Field("", description="empty: any")
    by: Literal["number", "voice", "words", "user"]
    voice: Standing | None = Field(None, description="of the library's voice that is recognised")


class ScriptedCall(Speech):
    """A call."""

    about: str
    number: str
    round: int = Field(1, ge=1, description="calls of a round are made at once")
    answer: Literal["", "pass", "reject", "screen", "message"] = Field(
        "", description="of the user, where asked"
    )
    expect: Expected


class CallScript(Section):
    """All calls of a demo, for one user."""

    user: str
    numbers: tuple[KnownNumber, ...] = ()
    voices: tuple[KnownVoice, ...] = ()
    callers: dict[str, CallerVoice] = Field(default_factory=dict)
    calls: Annotated[tuple[ScriptedCall, ...], Field(min_length=1)]

    @property
    def speaking(self) -> tuple[Speech, ...]:
        """Whatever has sound."""
        return (*self.voices, *self.calls)

    @model_validator(mode="after")
    def _names_are_known(self) -> CallScript:
        ids = [one.id for one in self.speaking]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise ValueError(f"'{twice[0]}' stands twice: give each call an id of its own")
        for one in self.speaking:
            if one.says and one.caller not in self.callers:
                raise ValueError(
                    f"call '{one.id}': caller '{one.caller}' is none of "
                    f"{', '.join(sorted(self.callers))}"
                )
        return self


def turn_files(folder: Path, spoken: Speech) -> list[Path]:
    """The sound of its turns."""
    return [folder / f"{spoken.id}-{number}.ogg" for number in range(1, len(spoken.says) + 1)]


def read_script(folder: Path) -> CallScript:
    """Of a folder of calls. Raises ConfigError."""
    from persona_ray.config.loader import load_section

    return load_section(CallScript, folder / SCRIPT)


def read_turn(path: Path) -> tuple[Samples, int]:
    """One turn: mono samples (n,) in [-1, 1] and their rate in Hz. Raises ConfigError."""
    import soundfile

    try:
        samples, rate_hz = soundfile.read(path, dtype="float32")
    except (OSError, soundfile.LibsndfileError) as error:
        raise ConfigError(
            f"{path} cannot be read ({error}): make it with `persona-ray synth callers "
            f"{path.parent}`"
        ) from None
    # What was coded with loss may overshoot.
    return samples.clip(-1.0, 1.0), int(rate_hz)


def speak_calls(folder: Path, synthesizer: Synthesizer, progress: Progress) -> int:
    """Speak every turn of the folder's script anew; how many there are. Raises ConfigError,
    SynthesisError."""
    import soundfile

    from persona_ray.audio.resample import resample
    from persona_ray.files import draft
    from persona_ray.tts.base import Voice

    script = read_script(folder)
    spoken = [
        (script.callers[one.caller], one.caller, text, path)
        for one in script.speaking
        for text, path in zip(one.says, turn_files(folder, one), strict=True)
    ]
    with progress.stage("speaking turns", len(spoken)) as stage:
        for caller, name, text, path in spoken:
            timbre = tuple(sorted(caller.timbre.items()))
            voice = Voice(name, caller.sex, timbre, pitch=caller.pitch)
            samples, rate_hz = synthesizer.synthesize(text, voice, 1.0)
            with draft(path) as file:
                soundfile.write(file, resample(samples, rate_hz, RATE_HZ), RATE_HZ, format="OGG")
            stage.advance()
    return len(spoken)
