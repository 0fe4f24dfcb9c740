"""What one worker of the archive job does: takes a call, commits its colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.corpus.attempts import Attempts
from persona_ray.corpus.known import KnownCall, KnownCalls
from persona_ray.corpus.later import Patience
from persona_ray.corpus.pending import Call
from persona_ray.corpus.records import BadRow
from persona_ray.corpus.staging import Staging
from persona_ray.errors import (
    CallError,
    EngineUnavailableError,
    ModelError,
    PersonaRayError,
    RecognitionError,
    StorageAwayError,
)
from persona_ray.launch.archive.seen import SeenSentence, outcome_of, seen_of
from persona_ray.launch.archive.tables import CallAnswer, ResultTables
from persona_ray.store import ArchivedCall
from persona_ray.types import CallRecord, CallStatus, NothingUsable, QuarantineReason, Recognition

if TYPE_CHECKING:
    from persona_ray.inference.calls import Pieces
    from persona_ray.inference.clips import CallRecognition
    from persona_ray.inference.personality import PersonalityRecognizer

LoadRecognizer = Callable[[Path, RunConfig], "PersonalityRecognizer"]
# So many calls one after the other on which the model fails: it is not the calls.
_MOST_FAILURES = 3


def load_recognizer(bundle: Path, config: RunConfig) -> PersonalityRecognizer:
    from persona_ray.inference.personality import PersonalityRecognizer

    return PersonalityRecognizer.load(bundle, config)


@dataclass(frozen=True, slots=True)
class ArchiveJob:
    """What every worker is told. Pickles. `known` None: every call is heard anew."""

    config: RunConfig
    bundle: Path
    tables: ResultTables
    staging: Staging
    known: KnownCalls | None
    run: str
    load: LoadRecognizer = load_recognizer


@dataclass(frozen=True, slots=True)
class ArchiveFigures:
    """What one call adds to the job; nothing where it was done before. `later`: why it is left for
    the next run, empty where it is done. `outcome` and `sentences`: what drift is told of."""

    calls: int = 0
    known: int = 0
    audio_s: float = 0.0
    later: str = ""
    outcome: str = ""
    sentences: tuple[SeenSentence, ...] = ()


class ArchiveWorker:
    """Holds a recogniser, loaded at the first call, and brings calls one by one into staging."""

    def __init__(self, job: ArchiveJob) -> None:
        self._job = job
        self._attempts = Attempts(job.staging, job.run)
        self._loaded: PersonalityRecognizer | None = None
        self._failures = 0
        self._patience = Patience()

    def finish(self, call: Call) -> ArchiveFigures:
        """Recognise one call and commit it, unless that has been done or its audio cannot be had
        now. Raises ArchiveError once no call's audio can be had."""
        staging = self._job.staging
        if staging.has(call.call_id):
            return ArchiveFigures()
        known = False
        with self._attempts.begun(call.call_id) as given_up:
            if given_up:
                answer = _aside(call, QuarantineReason.FAILED, given_up)
            elif isinstance(call, BadRow):
                answer = _aside(call, call.reason, call.detail)
            else:
                reached = self._patience.reach(lambda: self._answer(call))
                if isinstance(reached, StorageAwayError):
                    return ArchiveFigures(later=reached.detail)
                answer, known = reached
            staging.commit(self._job.tables.staged(answer))
        return ArchiveFigures(
            1, int(known), answer.audio_s, outcome=outcome_of(answer), sentences=answer.seen
        )

    def _answer(self, call: CallRecord) -> tuple[CallAnswer, bool]:
        """The call's result, and whether the corpus knew its sentences."""
        recognizer = self._recognizer()
        try:
            known = self._known(call, recognizer)
            pieces = recognizer.hearing.call(call) if known is None else _pieces(known)
        except StorageAwayError:
            raise
        except CallError as error:
            return _aside(call, error.reason, error.detail), False
        except EngineUnavailableError:
            raise
        except RecognitionError as error:
            return _aside(call, QuarantineReason.RECOGNISER_FAILED, str(error)), False
        except PersonaRayError:
            raise
        except Exception as error:
            # One odd call among a million must not end a job of days; the table names it.
            said = f"{type(error).__name__}: {error}"
            return _aside(call, QuarantineReason.FAILED, said), False
        return self._judged(call, recognizer, pieces), known is not None

    def _judged(
        self, call: CallRecord, recognizer: PersonalityRecognizer, pieces: Pieces
    ) -> CallAnswer:
        try:
            found = recognizer.pieces(pieces)
        except Exception as error:
            # Sentences are bounded in length and level: it may well be the device.
            said = f"{type(error).__name__}: {error}"
            self._failures += 1
            if self._failures >= _MOST_FAILURES:
                raise ModelError(
                    f"the model failed on {self._failures} calls one after the other, last on "
                    f"{call.call_id} ({' '.join(said.split())}): mend it and run the job again, "
                    "it goes on where it was"
                ) from error
            return _aside(call, QuarantineReason.FAILED, said)
        self._failures = 0
        return _answered(call, pieces, found)

    def _known(self, call: CallRecord, recognizer: PersonalityRecognizer) -> KnownCall | None:
        if self._job.known is None or not recognizer.hearing.cuts_by_words(call):
            return None
        return self._job.known.find(call)

    def _recognizer(self) -> PersonalityRecognizer:
        if self._loaded is None:
            self._loaded = self._job.load(self._job.bundle, self._job.config)
        return self._loaded


def worker_of_its_own(job: ArchiveJob) -> ArchiveWorker:
    """A worker that has its process to itself, as an actor has."""
    import torch

    # As many as in the plain job: sums are then taken in the same order.
    torch.set_num_threads(job.config.recognition.threads)
    return ArchiveWorker(job)


def _pieces(known: KnownCall) -> Pieces:
    """What hearing the call anew would give."""
    from persona_ray.inference.calls import Piece, Pieces

    pieces = tuple(
        Piece(clip.start_s, clip.end_s, clip.text, clip.samples, clip.sample_rate_hz)
        for clip in known.clips
    )
    outcome = known.outcome
    return Pieces(pieces, outcome.detail, outcome.flags, audio_s=outcome.audio_s)


def _answered(call: CallRecord, pieces: Pieces, found: CallRecognition) -> CallAnswer:
    usable = isinstance(found.result, Recognition)
    archived = ArchivedCall(
        call_id=call.call_id,
        customer_id=call.customer_id,
        status=CallStatus.OK if usable else CallStatus.NOTHING_USABLE,
        result=found.result,
        reason=QuarantineReason.SILENT if pieces.silent else None,
        flags=found.flags,
    )
    seen = seen_of(pieces.pieces, found.sentences)
    return CallAnswer(archived, call.audio_uri, found.sentences, pieces.audio_s, seen)


def _aside(call: Call, reason: QuarantineReason, detail: str) -> CallAnswer:
    said = " ".join(detail.removeprefix(f"call {call.call_id}: ").split())
    archived = ArchivedCall(
        call_id=call.call_id,
        customer_id=call.customer_id,
        status=CallStatus.QUARANTINED,
        result=NothingUsable(said),
        reason=reason,
    )
    return CallAnswer(archived, call.audio_uri)
