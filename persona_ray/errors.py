"""Everything persona-ray raises on purpose.

    PersonaRayError
    ├── ConfigError               a configuration file, key or value is wrong
    ├── ArchiveError              the business database cannot be read
    │   ├── QueryError            the configured query fails
    │   └── MissingColumnError    the query lacks a column that is needed
    ├── CallError                 one call cannot be used: it is quarantined, the job goes on
    │   ├── NotAudioError         the bytes are no audio that can be decoded
    │   │   └── DecoderError      they ended the process that decodes, or took too much of it
    │   ├── EmptyFileError        the file has no bytes
    │   ├── TruncatedError        the audio ends before its promised length
    │   ├── UnreadableError       the URI cannot be opened
    │   │   └── StorageAwayError  the storage fails, not the file: it is asked again later
    │   ├── TooLongError          the call is longer than the configured limit
    │   ├── SilentError           nobody speaks on the customer's channel
    │   └── ChannelError          the customer's channel is not in the file
    ├── RecognitionError          a speech recogniser failed
    │   └── EngineUnavailableError  an optional engine or its weights are missing
    ├── SynthesisError            a speech synthesiser is missing or failed
    ├── CorpusError               a corpus folder is missing, damaged or of another make
    │   └── LeakageError          one customer or one text stands in two splits
    ├── StoreError                the product's own database cannot be opened, read or written
    ├── AnnotationError           an annotation file or label is wrong
    ├── LibraryError              a library of scripts is wrong: every mistake with its place
    ├── ModelError                a model cannot be built or fed
    │   ├── EncoderError          an encoder folder cannot be loaded or does not fit
    │   └── BundleError           a bundle is damaged or its contract does not fit
    ├── TrainingError             a training run cannot start or go on
    ├── ServiceError              the service cannot answer
    │   ├── RequestError          a request asks for what is not given: its field and the fix
    │   ├── ServiceBusyError      its queues are full: ask again later
    │   └── ServiceLostError      a replica died while it answered: ask again
    ├── VaultError                a key is missing or wrong, or what it sealed was changed
    ├── AuditError                the audit log was edited, or cannot be written
    ├── StorageError              a folder or bucket cannot be read or written, or is damaged
    ├── ArtefactError             finished work cannot be copied to or from storage.artefacts
    ├── BackupError               a backup is damaged or incomplete, or cannot be made or restored
    ├── DistributionError         a device refuses what it was sent, or cannot fetch it
    ├── TrackingError             the MLflow store or server cannot be reached
    └── RegistryError             the registry has no such version, or cannot do what is asked
        └── PromotionError        the challenger is worse than the champion beyond noise

A message names the thing, the value and the fix; the command line prints it as one line.
"""

from __future__ import annotations

from typing import Any

from persona_ray.types import QuarantineReason


class PersonaRayError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1

    def lines(self) -> list[str]:
        """What the command line prints: one line, or one more for each of many mistakes."""
        return [" ".join(str(self).split())]


class ConfigError(PersonaRayError):
    """A configuration file, key or value is wrong."""

    exit_code = 2


class ArchiveError(PersonaRayError):
    """The business database cannot be read."""

    exit_code = 3


class QueryError(ArchiveError):
    """The configured query fails on the business database."""


class MissingColumnError(ArchiveError):
    """The configured query lacks a column that the corpus needs."""


class CallError(PersonaRayError):
    """One call cannot be used. The corpus job records `reason` and goes on."""

    exit_code = 4
    reason: QuarantineReason

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.detail,)


class NotAudioError(CallError):
    """The bytes are no audio that can be decoded."""

    reason = QuarantineReason.NOT_AUDIO


class DecoderError(NotAudioError):
    """The bytes ended the process that decodes them, or took too much time or memory."""


class EmptyFileError(CallError):
    """The file has no bytes."""

    reason = QuarantineReason.EMPTY_FILE


class TruncatedError(CallError):
    """The audio ends before its promised length."""

    reason = QuarantineReason.TRUNCATED


class UnreadableError(CallError):
    """The URI cannot be opened."""

    reason = QuarantineReason.UNREADABLE


class StorageAwayError(UnreadableError):
    """The storage that the file lies on does not answer or refuses: nothing is known of the file,
    which a job leaves for later. `transient`: asking again soon may help."""

    def __init__(self, detail: str, transient: bool = True) -> None:
        super().__init__(detail)
        self.transient = transient

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.detail, self.transient)


class TooLongError(CallError):
    """The call is longer than the configured limit."""

    reason = QuarantineReason.TOO_LONG


class SilentError(CallError):
    """Nobody speaks on the customer's channel."""

    reason = QuarantineReason.SILENT


class ChannelError(CallError):
    """The customer's channel is not in the file."""

    reason = QuarantineReason.MONO


class RecognitionError(PersonaRayError):
    """A speech recogniser failed."""


class EngineUnavailableError(RecognitionError):
    """An optional engine or its weights are missing; the message says how to get them."""

    exit_code = 2


class SynthesisError(PersonaRayError):
    """A speech synthesiser is missing or failed."""

    exit_code = 2


class CorpusError(PersonaRayError):
    """A corpus folder is missing, damaged or of another make."""

    exit_code = 3


class LeakageError(CorpusError):
    """One customer or one text stands in two splits."""

    exit_code = 5


class StoreError(PersonaRayError):
    """The product's own database cannot be opened, read or written, or is of another release."""

    exit_code = 3


class AnnotationError(PersonaRayError):
    """An annotation file or label is wrong."""

    exit_code = 3


class LibraryError(PersonaRayError):
    """A library of scripts is wrong, or not there. `mistakes` are all that were found."""

    exit_code = 2

    def __init__(self, message: str, mistakes: tuple[str, ...] = ()) -> None:
        super().__init__("\n".join([message, *mistakes]))
        self.mistakes = mistakes

    def lines(self) -> list[str]:
        return [" ".join(line.split()) for line in str(self).splitlines()]


class ModelError(PersonaRayError):
    """A model cannot be built or fed."""


class EncoderError(ModelError):
    """An encoder folder cannot be loaded or does not fit."""

    exit_code = 2


class BundleError(ModelError):
    """A bundle is damaged or its contract does not fit."""

    exit_code = 2


class TrainingError(PersonaRayError):
    """A training run cannot start or go on."""


class ServiceError(PersonaRayError):
    """The service cannot start or cannot answer."""


class RequestError(ServiceError):
    """A request is refused. `code` names the kind of mistake, `field` what of the request is wrong,
    `fix` how to mend it, `status` is HTTP's; `retry_after_s` where waiting is the fix."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int = 422,
        field: str | None = None,
        fix: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
        self.field = field
        self.fix = fix
        self.retry_after_s = retry_after_s

    def lines(self) -> list[str]:
        return [": ".join(part for part in (str(self), self.fix) if part)]


class ServiceBusyError(ServiceError):
    """The queues of the service are full; the same request may be answered later."""


class ServiceLostError(ServiceError):
    """A replica died while it answered; the same request may be sent again."""


class VaultError(PersonaRayError):
    """An encryption key is missing or wrong, or what it sealed was changed."""

    exit_code = 3


class AuditError(PersonaRayError):
    """The audit log was edited, or cannot be written."""

    exit_code = 3


class StorageError(PersonaRayError):
    """A folder or bucket cannot be read or written, or holds damaged files. `transient`: the way to
    it failed, and asking again soon may help."""

    exit_code = 3

    def __init__(self, message: str, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class ArtefactError(PersonaRayError):
    """Finished work cannot be copied to or from `storage.artefacts`; the workspace is whole."""

    exit_code = 3


class BackupError(PersonaRayError):
    """A backup is damaged or incomplete, or cannot be made or restored."""

    exit_code = 3


class DistributionError(PersonaRayError):
    """A device refuses what it was sent, or cannot fetch it: what it held before still stands.
    `reason` names the kind of refusal, for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class TrackingError(PersonaRayError):
    """The MLflow store or server cannot be reached."""

    exit_code = 2


class RegistryError(PersonaRayError):
    """The registry has no such version or alias, or cannot do what is asked of it."""

    exit_code = 2


class PromotionError(RegistryError):
    """The challenger is worse than the champion on held-out customers, beyond noise."""

    exit_code = 6
