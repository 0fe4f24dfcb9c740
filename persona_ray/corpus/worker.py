"""What one worker of the corpus job does: takes a call, commits what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.lazy import BuildRecognizer, LazyRecognizer
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.corpus.pending import Call
from persona_ray.corpus.process import process_call
from persona_ray.corpus.records import quarantined
from persona_ray.corpus.rows import ARCHIVE_SOURCE
from persona_ray.corpus.staging import Staging
from persona_ray.types import QuarantineReason

# A call that has ended this many workers is set aside.
_MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What committing one call adds to a build; nothing where that was done before."""

    audio_s: float = 0.0
    recognised: bool = False


class CallWorker:
    """Holds a recogniser and a speech detector, and brings calls one by one into the staging."""

    def __init__(
        self,
        config: RunConfig,
        staging: Staging,
        run: str,
        build: BuildRecognizer = build_recognizer,
    ) -> None:
        """`run` names this build among others, for counting the tries of a call."""
        self._config = config
        self._staging = staging
        self._run = run
        self._recognizer = LazyRecognizer(config.asr, build)
        self._vad = VoiceActivity(config.vad)

    def finish(self, call: Call) -> CallFigures:
        """Process one call and commit it, unless that has been done."""
        if self._staging.has(call.call_id):
            return CallFigures()
        note = self._staging.path(call.call_id).with_suffix(".tries")
        tries = self._tries(note)
        if tries >= _MOST_TRIES:
            result = quarantined(
                call,
                QuarantineReason.FAILED,
                f"{tries} workers died on this call (out of memory, or a crash in a library)",
            )
        else:
            # Written before, because a crash in a native library leaves no time after.
            note.parent.mkdir(exist_ok=True)
            note.write_text(f"{self._run} {tries + 1}")
            result = process_call(call, self._recognizer, self._vad, self._config)
        self._staging.commit(result)
        note.unlink(missing_ok=True)
        source = result.outcome.transcript_source
        return CallFigures(result.outcome.audio_s, source not in ("", ARCHIVE_SOURCE))

    def _tries(self, note: Path) -> int:
        """How many workers of this run have begun the call.

        Earlier runs do not count: they were killed from outside.
        """
        try:
            run, _, tries = note.read_text().partition(" ")
        except FileNotFoundError:
            return 0
        return int(tries) if run == self._run and tries.isdigit() else 0
