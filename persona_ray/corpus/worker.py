"""What one worker of the corpus job does: takes a call, commits what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from persona_ray.asr.build import build_recognizer
from persona_ray.asr.lazy import BuildRecognizer, LazyRecognizer
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig
from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.finished import FinishedCalls
from persona_ray.corpus.process import process_call
from persona_ray.corpus.records import BadRow, quarantined
from persona_ray.corpus.staging import Staging
from persona_ray.types import CallRecord, QuarantineReason

Call = CallRecord | BadRow
ARCHIVE_SOURCE = "archive"
# A call that has ended this many workers is set aside.
_MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Finished:
    """Figures of one call that is committed now. Both are nothing where it was so before."""

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

    def finish(self, call: Call) -> Finished:
        """Process one call and commit it, unless that has been done."""
        if self._staging.has(call.call_id):
            return Finished()
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
        return Finished(result.outcome.audio_s, bool(source) and source != ARCHIVE_SOURCE)

    def _tries(self, note: Path) -> int:
        """How many workers of this run have begun the call.

        Earlier runs do not count: they were killed from outside.
        """
        try:
            run, _, tries = note.read_text().partition(" ")
        except FileNotFoundError:
            return 0
        return int(tries) if run == self._run and tries.isdigit() else 0


def pending_calls(
    archive: CallArchive, staging: Staging, finished: FinishedCalls
) -> Iterator[Call]:
    """Calls of the archive that are neither staged nor in shards, a page in memory at a time."""
    for page in archive.pages():
        if page.first is None:
            # Rows without call id are not bounded by the page size.
            for call in archive.read(page):
                if not staging.has(call.call_id) and not finished.among([call.call_id]):
                    yield call
            continue
        calls = list(archive.read(page))
        done = finished.among([call.call_id for call in calls])
        for call in calls:
            if call.call_id not in done and not staging.has(call.call_id):
                yield call
