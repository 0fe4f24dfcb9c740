"""From a whole call to the customer's sentences, with or without their text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from persona_ray.audio.channels import customer_track
from persona_ray.audio.coding import as_stored, decode_flac
from persona_ray.audio.decode import read_audio
from persona_ray.audio.vad import Span
from persona_ray.corpus.process import (
    SpeechDetector,
    clip_samples,
    process_call,
    usable_sentences,
    why_nothing,
)
from persona_ray.errors import (
    CallError,
    ChannelError,
    EmptyFileError,
    NotAudioError,
    RecognitionError,
    SilentError,
    TooLongError,
    TruncatedError,
    UnreadableError,
)
from persona_ray.types import CallRecord, CallStatus, QuarantineReason

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.audio.decode import DecodedAudio
    from persona_ray.config import RunConfig
    from persona_ray.config.corpus import CutConfig
    from persona_ray.types import Samples, Transcript

# Without text, sentences that cannot have the fewest characters even of a fast speaker are left
# out, as they are from the corpus.
FASTEST_CHARACTERS_PER_S = 10.0
# What is wrong with a file, by the reason that the corpus notes; silence is a result here.
_UNUSABLE: dict[QuarantineReason | None, type[CallError]] = {
    kind.reason: kind
    for kind in (
        NotAudioError,
        EmptyFileError,
        TruncatedError,
        UnreadableError,
        TooLongError,
        ChannelError,
    )
}


@dataclass(frozen=True, slots=True)
class Piece:
    """One sentence: `samples` (n,) at `sample_rate_hz`; `text` None where it is not read."""

    start_s: float
    end_s: float
    text: str | None
    samples: Samples
    sample_rate_hz: int


@dataclass(frozen=True, slots=True)
class Pieces:
    """The usable sentences in order of time; `reason` says why there are none.

    `silent`: nobody speaks at all. `audio_s`: length of the customer's track, 0 where none is used.
    """

    pieces: tuple[Piece, ...]
    reason: str
    flags: tuple[str, ...]
    silent: bool = False
    audio_s: float = 0.0


def read_sentences(
    record: CallRecord,
    recognizer: Recognizer,
    voice: SpeechDetector,
    config: RunConfig,
    audio: DecodedAudio | None = None,
) -> Pieces:
    """Sentences with text, by the very code that made the clips of training.

    `audio`: decoded already; None reads the record's. Silence is a result. Raises the CallError
    that says why the file cannot be used, and RecognitionError where the recogniser failed.
    """
    result = process_call(record, recognizer, voice, config, audio)
    outcome = result.outcome
    if outcome.status is CallStatus.QUARANTINED:
        if outcome.reason is QuarantineReason.SILENT:
            return Pieces((), outcome.detail, outcome.flags, silent=True)
        # Of a file that can be used the recogniser failed.
        kind = _UNUSABLE.get(outcome.reason, RecognitionError)
        raise kind(f"call {record.call_id}: {outcome.detail}")
    pieces = []
    for clip in result.clips:
        samples, rate_hz = decode_flac(clip.audio)
        info = clip.info
        pieces.append(Piece(info.start_s, info.end_s, info.text, samples, rate_hz))
    return Pieces(tuple(pieces), outcome.detail, outcome.flags, audio_s=outcome.audio_s)


def hear_sentences(
    record: CallRecord,
    voice: SpeechDetector,
    config: RunConfig,
    audio: DecodedAudio | None = None,
) -> Pieces:
    """Sentences without text, from detected speech alone; raises CallError as above."""
    if audio is None:
        audio = read_audio(
            record.audio_uri,
            root=config.archive.audio_root,
            max_s=config.archive.max_call_s,
            truncated_below=config.audio.truncated_below,
        )
    try:
        track = customer_track(audio, record, config.archive, config.audio)
    except SilentError as error:
        return Pieces((), error.detail, audio.flags, silent=True)
    speech = voice.speech(track.samples, track.sample_rate_hz)
    found = heard_pieces(track.samples, track.sample_rate_hz, speech, config, track.flags)
    return replace(found, silent=not speech, audio_s=round(track.duration_s, 3) if speech else 0.0)


def heard_pieces(
    samples: Samples,
    rate_hz: int,
    speech: Sequence[Span],
    config: RunConfig,
    flags: tuple[str, ...] = (),
) -> Pieces:
    """Pieces of samples (n,) without text, by the spans of `speech` in it."""
    pieces = tuple(
        Piece(
            span.start_s,
            span.end_s,
            None,
            samples[round(span.start_s * rate_hz) : round(span.end_s * rate_hz)],
            rate_hz,
        )
        for span in cut_spans(speech, config.cut)
    )
    reason = "" if pieces else "no speech detected" if not speech else "no sentence is long enough"
    return Pieces(pieces, reason, flags)


def read_pieces(
    samples: Samples,
    rate_hz: int,
    speech: Sequence[Span],
    transcript: Transcript,
    config: RunConfig,
) -> Pieces:
    """Pieces of samples (n,) by the words of `transcript`: cut, dropped and rounded as the clips
    of a call are."""
    sentences, dropped = usable_sentences(transcript, speech, len(samples) / rate_hz, config.cut)
    pieces = []
    for sentence in sentences:
        start_s, end_s, part = clip_samples(sentence, samples, rate_hz)
        pieces.append(Piece(start_s, end_s, sentence.text, as_stored(part), rate_hz))
    return Pieces(tuple(pieces), "" if pieces else why_nothing(dropped, config.cut), ())


def cut_spans(speech: Sequence[Span], config: CutConfig) -> list[Span]:
    """Spans joined across gaps shorter than a sentence's end, as long as they fit a clip; what is
    still longer than a clip is divided evenly, what is too short for a sentence left out."""
    joined: list[Span] = []
    for span in speech:
        last = joined[-1] if joined else None
        if (
            last is not None
            and span.start_s - last.end_s < config.sentence_gap_s
            and span.end_s - last.start_s <= config.max_clip_s
        ):
            joined[-1] = Span(last.start_s, span.end_s)
        else:
            joined.append(span)
    shortest_s = config.min_chars / FASTEST_CHARACTERS_PER_S
    return [
        part
        for span in joined
        if span.duration_s >= shortest_s
        for part in _divided(span, config.max_clip_s)
    ]


def _divided(span: Span, longest_s: float) -> list[Span]:
    count = max(1, -int(-span.duration_s // longest_s))
    step_s = span.duration_s / count
    return [
        Span(span.start_s + number * step_s, span.start_s + (number + 1) * step_s)
        for number in range(count)
    ]
