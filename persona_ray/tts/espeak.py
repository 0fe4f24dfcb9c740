"""espeak-ng as a subprocess: instant and robotic, for trying out archives."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING

from persona_ray.errors import SynthesisError
from persona_ray.tts.base import Voice

if TYPE_CHECKING:
    from persona_ray.types import Samples

_WORDS_PER_MINUTE = 175
_PITCH = {"female": 60, "male": 35}
_TIMEOUT_S = 60.0
# From release 1.51 on `cmn` reads Mandarin as if it were English letters; the other voice is what
# `cmn` was before.
_LANGUAGES = ("cmn-latn-pinyin", "cmn")


class EspeakSynthesizer:
    """Mandarin by espeak-ng. Timbre is the variant of the voice's sex."""

    def __init__(self, program: str = "espeak-ng") -> None:
        """Raises `SynthesisError` when `program` is not installed, or has no Mandarin."""
        if shutil.which(program) is None:
            raise SynthesisError(f"{program} is not installed: `apt-get install espeak-ng`")
        self._program = program
        self._language = _language(program)
        self.name = f"espeak-ng-{self._language}"

    def synthesize(self, text: str, voice: Voice, speed: float) -> tuple[Samples, int]:
        """Rate of espeak's own output, usually 22050 Hz."""
        import soundfile

        variant = "f3" if voice.sex == "female" else "m3"
        pitch = max(0, min(99, round(_PITCH[voice.sex] * voice.pitch)))
        rate = str(round(_WORDS_PER_MINUTE * speed))
        spoken_by = f"{self._language}+{variant}"
        command = [self._program, "-v", spoken_by, "-s", rate, "-p", str(pitch), "--stdout"]
        try:
            done = subprocess.run(
                command, input=text.encode(), capture_output=True, timeout=_TIMEOUT_S, check=True
            )
            samples, rate_hz = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode(errors="replace").strip()
            raise _failed(command, text, said or f"exit {error.returncode}") from None
        except subprocess.TimeoutExpired:
            raise _failed(command, text, f"no answer within {_TIMEOUT_S:g} s") from None
        except soundfile.LibsndfileError as error:
            raise _failed(command, text, f"no sound came out: {error}") from None
        return samples, int(rate_hz)


def _language(program: str) -> str:
    """The voice that this release has Mandarin by."""
    command = [program, "--voices=cmn"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        ).stdout
    except (subprocess.SubprocessError, OSError) as error:
        raise SynthesisError(f"{' '.join(command)} failed: {error}") from None
    there = set(told.split())
    found = next((language for language in _LANGUAGES if language in there), None)
    if found is None:
        raise SynthesisError(
            f"{program} has no Mandarin voice: install its data (`apt-get install espeak-ng-data`)"
        )
    return found


def _failed(command: list[str], text: str, reason: str) -> SynthesisError:
    return SynthesisError(f"{' '.join(command)} failed on {text!r}: {reason}")
