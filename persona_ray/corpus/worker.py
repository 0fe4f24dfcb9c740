"""What one worker of the corpus job does: takes a call, commits what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.lazy import BuildRecognizer, LazyRecognizer
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.corpus.attempts import Attempts
from persona_ray.corpus.later import Patience
from persona_ray.corpus.pending import Call
from persona_ray.corpus.process import process_call
from persona_ray.corpus.records import CallResult, quarantined
from persona_ray.corpus.rows import ARCHIVE_SOURCE
from persona_ray.corpus.staging import Staging
from persona_ray.corpus.tables import result_table
from persona_ray.errors import StorageAwayError
from persona_ray.types import QuarantineReason


@dataclass(frozen=True, slots=True)
class CallFigures:
    """What committing one call adds to a build; nothing where that was done before. `later`: why it
    was not committed, empty where it was."""

    audio_s: float = 0.0
    recognised: bool = False
    later: str = ""


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
        self._attempts = Attempts(staging, run)
        self._recognizer = LazyRecognizer(config.asr, build)
        self._vad = VoiceActivity(config.vad)
        self._patience = Patience()

    def finish(self, call: Call) -> CallFigures:
        """Process one call and commit it, unless that has been done or its audio cannot be had now.

        Raises ArchiveError once no call's audio can be had.
        """
        if self._staging.has(call.call_id):
            return CallFigures()
        with self._attempts.begun(call.call_id) as given_up:
            if given_up:
                result = quarantined(call, QuarantineReason.FAILED, given_up)
            else:
                reached = self._patience.reach(lambda: self._process(call))
                if isinstance(reached, StorageAwayError):
                    return CallFigures(later=reached.detail)
                result = reached
            self._staging.commit(result_table(result))
        source = result.outcome.transcript_source
        return CallFigures(result.outcome.audio_s, source not in ("", ARCHIVE_SOURCE))

    def _process(self, call: Call) -> CallResult:
        return process_call(call, self._recognizer, self._vad, self._config)
