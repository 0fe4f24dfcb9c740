"""Frozen records that flow between rooms. Seconds are floats from the start of the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Mono samples in [-1, 1], shape (samples,).
    Samples = NDArray[np.float32]


class QuarantineReason(StrEnum):
    """Why a call was set aside."""

    NOT_AUDIO = "not_audio"
    EMPTY_FILE = "empty_file"
    TRUNCATED = "truncated"
    UNREADABLE = "unreadable"
    TOO_LONG = "too_long"
    SILENT = "silent"
    MONO = "mono"
    BAD_ROW = "bad_row"
    BAD_TRANSCRIPT = "bad_transcript"
    RECOGNISER_FAILED = "recogniser_failed"
    FAILED = "failed"


class CallStatus(StrEnum):
    """What became of a call in the corpus job."""

    OK = "ok"
    NOTHING_USABLE = "nothing_usable"
    QUARANTINED = "quarantined"


class Split(StrEnum):
    """The part of the corpus a customer belongs to."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


class Modality(StrEnum):
    """Which towers of the model are fed."""

    BOTH = "both"
    SPEECH = "speech"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word (for Chinese: what the recogniser calls a word, often a character)."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words of one channel in order of time. `source` names the recogniser that made them."""

    words: tuple[Word, ...]
    source: str
    channel: int = 0

    @property
    def text(self) -> str:
        return "".join(word.text for word in self.words).strip()


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One row of the business database, checked.

    `customer_channel` counts from 0; `channels` and `duration_s` are what the database promises.
    `facts` are what annotators may know of the customer. `transcripts` are those that the archive
    already has, by channel.
    """

    call_id: str
    customer_id: str
    audio_uri: str
    customer_channel: int
    channels: int
    scene: str = ""
    duration_s: float | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    transcripts: Mapping[int, Transcript] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipInfo:
    """One sentence of a customer without its audio.

    It runs from `start_s` to `end_s` of channel `channel` of its call. `flags` say what was mended
    on the way (converted rate, swapped channel, ...).
    """

    clip_id: str
    call_id: str
    customer_id: str
    channel: int
    start_s: float
    end_s: float
    text: str
    words: tuple[Word, ...] = ()
    scene: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    flags: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip(ClipInfo):
    """A clip with its audio: `samples` (samples,) at `sample_rate_hz`."""

    samples: Samples
    sample_rate_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A labelled clip as training sees it; its audio is read by `clip_id` when a batch needs it."""

    clip_id: str
    customer_id: str
    label: str
    split: Split
    text: str
    duration_s: float


class SampleSource(Protocol):
    """Random access to the audio of clips."""

    @property
    def sample_rate_hz(self) -> int: ...

    def samples(self, clip_id: str) -> Samples:
        """Samples (samples,) of one clip; KeyError for an unknown clip."""
        ...

    def digest(self, clip_id: str) -> str:
        """Of the audio of one clip: changes with its samples. KeyError for an unknown clip."""
        ...


@dataclass(frozen=True, slots=True)
class Recognition:
    """Probabilities of the configured labels, summing to 1, over `clips` clips.

    `primary` has the highest probability, `secondary` the next.
    """

    probabilities: Mapping[str, float]
    clips: int

    @property
    def primary(self) -> str:
        return max(self.probabilities, key=lambda label: self.probabilities[label])

    @property
    def secondary(self) -> str:
        rest = [label for label in self.probabilities if label != self.primary]
        return max(rest, key=lambda label: self.probabilities[label])


@dataclass(frozen=True, slots=True)
class NothingUsable:
    """The result for a call or set without one usable clip: no colour, and the reason."""

    reason: str
