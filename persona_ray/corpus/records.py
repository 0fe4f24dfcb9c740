"""What becomes of one call: its outcome and its clips, as they are written to the corpus."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from persona_ray.types import CallRecord, CallStatus, ClipInfo, QuarantineReason, Word


class DropReason(StrEnum):
    """Why a sentence did not become a clip."""

    SHORT = "short"
    NO_SPEECH = "no_speech"
    OUTSIDE_AUDIO = "outside_audio"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of the business database that makes no call. `call_id` is made up where it is null."""

    call_id: str
    reason: QuarantineReason
    detail: str
    customer_id: str = ""
    audio_uri: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOutcome:
    """What became of one call.

    `reason` and `detail` are set where `status` is quarantined; `detail` also says why nothing is
    usable. `channel` is the one that clips were cut from (-1 where none was read). `audio_s` is the
    length of the customer's track, `speech_s` what voice activity detection left of it, `clips_s`
    what stands in clips. `dropped` counts sentences that are no clip, by DropReason.
    `words` are all that were recognised on the channel, those of dropped sentences too: the call's
    transcript, which the business database may keep.
    """

    call_id: str
    customer_id: str
    audio_uri: str
    status: CallStatus
    reason: QuarantineReason | None = None
    detail: str = ""
    channel: int = -1
    clips: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    audio_s: float = 0.0
    speech_s: float = 0.0
    clips_s: float = 0.0
    transcript_source: str = ""
    words: tuple[Word, ...] = ()
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EncodedClip:
    """A clip with its audio as 16-bit FLAC at the corpus's rate."""

    info: ClipInfo
    audio: bytes


@dataclass(frozen=True, slots=True)
class CallResult:
    """All that the corpus keeps of one call."""

    outcome: CallOutcome
    clips: tuple[EncodedClip, ...] = ()


def quarantined(
    call: CallRecord | BadRow,
    reason: QuarantineReason,
    detail: str,
    flags: tuple[str, ...] = (),
) -> CallResult:
    """The result for a call that is set aside; `detail` is brought to one line. `flags`: of the
    file, where it could be decoded."""
    outcome = CallOutcome(
        call_id=call.call_id,
        customer_id=call.customer_id,
        audio_uri=call.audio_uri,
        status=CallStatus.QUARANTINED,
        reason=reason,
        detail=" ".join(detail.split()),
        flags=flags,
    )
    return CallResult(outcome)


def clip_id(call_id: str, channel: int, start_s: float, end_s: float) -> str:
    """20 hexadecimal digits that depend on where the clip stands, to the millisecond, alone."""
    place = f"{call_id}\x00{channel}\x00{round(start_s * 1000)}\x00{round(end_s * 1000)}"
    return hashlib.sha256(place.encode()).hexdigest()[:20]
