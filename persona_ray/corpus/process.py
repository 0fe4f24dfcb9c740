"""One call to clips, in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from persona_ray.audio.channels import Track, customer_track
from persona_ray.audio.coding import encode_flac
from persona_ray.audio.decode import DecodedAudio, read_audio
from persona_ray.corpus.cut import Sentence, count_characters, cut_sentences
from persona_ray.corpus.records import (
    BadRow,
    CallOutcome,
    CallResult,
    DropReason,
    EncodedClip,
    clip_id,
    quarantined,
)
from persona_ray.errors import (
    CallError,
    EngineUnavailableError,
    PersonaRayError,
    RecognitionError,
    SilentError,
    StorageAwayError,
)
from persona_ray.types import (
    CallRecord,
    CallStatus,
    ClipInfo,
    QuarantineReason,
    Transcript,
    Word,
)

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.audio.vad import Span
    from persona_ray.config import RunConfig
    from persona_ray.config.corpus import CutConfig
    from persona_ray.types import Samples

# So many different agent phrases on one channel make it the agent's.
_AGENT_PHRASES = 2
# From so many characters on a phrase is found with one in four misheard (in per cent).
_FUZZY_CHARACTERS, _FUZZY_RATIO = 4, 75.0
# Words that end this much after the audio were not said in it.
_BEYOND_S = 0.25
CHANNEL_SWAPPED = "channel_swapped"


class SpeechDetector(Protocol):
    """Where somebody speaks; `audio.vad.VoiceActivity` is the one that is used."""

    def speech(self, samples: Samples, rate_hz: int) -> tuple[Span, ...]:
        """Spans of speech in samples (n,), in order."""
        ...


class _RecogniserError(CallError):
    """Whatever a recogniser raised."""

    reason = QuarantineReason.RECOGNISER_FAILED


@dataclass(frozen=True, slots=True)
class _Heard:
    """One channel of a call: its audio, where speech is, and what was said."""

    track: Track
    speech: tuple[Span, ...]
    transcript: Transcript

    def agent_phrases(self, phrases: Sequence[str]) -> int:
        text = "".join(self.transcript.text.split())
        return sum(_is_said(phrase, text) for phrase in phrases)


def _is_said(phrase: str, text: str) -> bool:
    """Long phrases may have a character misheard: 感谢来点 is 感谢来电."""
    from rapidfuzz import fuzz

    if len(phrase) < _FUZZY_CHARACTERS:
        return phrase in text
    return len(text) >= len(phrase) and fuzz.partial_ratio(phrase, text) >= _FUZZY_RATIO


def process_call(
    call: CallRecord | BadRow,
    recognizer: Recognizer,
    vad: SpeechDetector,
    config: RunConfig,
    audio: DecodedAudio | None = None,
) -> CallResult:
    """Clips of the customer of one call, or why there are none.

    `audio`: of a call that is decoded already; None reads `call.audio_uri`. A call that cannot be
    used never raises: it comes back quarantined. What concerns every call (EngineUnavailableError:
    the recogniser cannot be loaded; StorageAwayError: the audio cannot be had now) is raised.
    """
    if isinstance(call, BadRow):
        return quarantined(call, call.reason, call.detail)
    try:
        if audio is None:
            audio = read_audio(
                call.audio_uri,
                root=config.archive.audio_root,
                max_s=config.archive.max_call_s,
                truncated_below=config.audio.truncated_below,
            )
        return _Ears(recognizer, vad, config).result(call, audio)
    except StorageAwayError:
        raise
    except CallError as error:
        return quarantined(call, error.reason, error.detail)
    except PersonaRayError:
        raise
    except Exception as error:
        # One odd call among a million must not end a job of days; the table names it.
        return quarantined(call, QuarantineReason.FAILED, f"{type(error).__name__}: {error}")


@dataclass(frozen=True, slots=True)
class _Ears:
    """What hears and cuts calls."""

    recognizer: Recognizer
    vad: SpeechDetector
    config: RunConfig

    def result(self, call: CallRecord, audio: DecodedAudio) -> CallResult:
        """Raises CallError for a call that cannot be used."""
        try:
            heard, flags = self._mended(self._heard(call, audio), call, audio)
        except SilentError as error:
            # Of a damaged file the speech may be what is missing.
            return quarantined(call, error.reason, error.detail, audio.flags)
        cut = self.config.cut
        sentences, dropped = usable_sentences(
            heard.transcript, heard.speech, heard.track.duration_s, cut
        )
        clips = [_clip(sentence, heard.track, call, flags) for sentence in sentences]
        outcome = CallOutcome(
            call_id=call.call_id,
            customer_id=call.customer_id,
            audio_uri=call.audio_uri,
            status=CallStatus.OK if clips else CallStatus.NOTHING_USABLE,
            detail="" if clips else why_nothing(dropped, cut),
            channel=heard.track.channel,
            clips=len(clips),
            dropped=dict(dropped),
            audio_s=round(heard.track.duration_s, 3),
            speech_s=round(sum(span.duration_s for span in heard.speech), 3),
            clips_s=round(sum(clip.info.duration_s for clip in clips), 3),
            transcript_source=heard.transcript.source,
            words=heard.transcript.words,
            flags=flags,
        )
        return CallResult(outcome, tuple(clips))

    def _heard(self, call: CallRecord, audio: DecodedAudio) -> _Heard:
        track = customer_track(audio, call, self.config.archive, self.config.audio)
        speech = self.vad.speech(track.samples, track.sample_rate_hz)
        if not speech:
            raise SilentError(f"{call.audio_uri} channel {track.channel}: no speech detected")
        transcript = call.transcripts.get(call.customer_channel)
        if transcript is None or not self.config.asr.reuse_transcripts:
            try:
                transcript = self.recognizer.transcribe(track.samples, track.sample_rate_hz, speech)
            except Exception as error:
                if isinstance(error, PersonaRayError) and not _concerns_one_call(error):
                    raise
                raise _RecogniserError(f"{type(error).__name__}: {error}") from error
        return _Heard(track, speech, transcript)

    def _mended(
        self, heard: _Heard, call: CallRecord, audio: DecodedAudio
    ) -> tuple[_Heard, tuple[str, ...]]:
        """Take the other of two channels where this one says what only agents say."""
        phrases = self.config.archive.agent_phrases
        found = heard.agent_phrases(phrases)
        if found < _AGENT_PHRASES or audio.channels != 2 or call.channels != 2:
            return heard, heard.track.flags
        other = replace(call, customer_channel=1 - call.customer_channel)
        try:
            swapped = self._heard(other, audio)
        except SilentError as error:
            raise SilentError(
                f"channel {call.customer_channel} carries the agent, not the customer; "
                f"{error.detail}"
            ) from None
        # Both may greet like agents, as in calls between two branches: then the database is
        # believed.
        if swapped.agent_phrases(phrases) >= found:
            return heard, heard.track.flags
        return swapped, (*swapped.track.flags, CHANNEL_SWAPPED)


def _concerns_one_call(error: PersonaRayError) -> bool:
    return isinstance(error, RecognitionError) and not isinstance(error, EngineUnavailableError)


def usable_sentences(
    transcript: Transcript, speech: Sequence[Span], duration_s: float, config: CutConfig
) -> tuple[list[Sentence], Counter[str]]:
    """The sentences that become clips, in order, and how many were dropped for which reason.

    `duration_s`: of the audio that `transcript` and `speech` are of.
    """
    kept = []
    dropped: Counter[str] = Counter()
    for sentence in cut_sentences(transcript, speech, config):
        reason = _drop_reason(sentence, duration_s, config)
        if reason is not None:
            dropped[reason.value] += 1
        else:
            kept.append(sentence)
    return kept, dropped


def _drop_reason(sentence: Sentence, duration_s: float, config: CutConfig) -> DropReason | None:
    if sentence.words[-1].end_s > duration_s + _BEYOND_S:
        return DropReason.OUTSIDE_AUDIO
    if sentence.speech_s <= 0:
        return DropReason.NO_SPEECH
    if count_characters(sentence.text) < config.min_chars:
        return DropReason.SHORT
    return None


def clip_samples(
    sentence: Sentence, samples: Samples, rate_hz: int
) -> tuple[float, float, Samples]:
    """Start and end of a sentence's clip, in whole milliseconds, and its part of samples (n,)."""
    start_s = round(sentence.start_s, 3)
    end_s = round(min(sentence.end_s, len(samples) / rate_hz), 3)
    return start_s, end_s, samples[round(start_s * rate_hz) : round(end_s * rate_hz)]


def _clip(
    sentence: Sentence, track: Track, call: CallRecord, flags: tuple[str, ...]
) -> EncodedClip:
    rate_hz = track.sample_rate_hz
    start_s, end_s, samples = clip_samples(sentence, track.samples, rate_hz)

    def inside(moment_s: float) -> float:
        return min(max(round(moment_s, 3), start_s), end_s)

    info = ClipInfo(
        clip_id=clip_id(call.call_id, track.channel, start_s, end_s),
        call_id=call.call_id,
        customer_id=call.customer_id,
        channel=track.channel,
        start_s=start_s,
        end_s=end_s,
        text=sentence.text,
        words=tuple(
            Word(word.text, inside(word.start_s), inside(word.end_s)) for word in sentence.words
        ),
        scene=call.scene,
        facts=call.facts,
        flags=flags,
    )
    return EncodedClip(info, encode_flac(samples, rate_hz))


def why_nothing(dropped: Counter[str], config: CutConfig) -> str:
    """For a call without one sentence to use, in words."""
    if not dropped:
        return "no words recognised"
    why = {
        DropReason.SHORT: f"too short (fewer than {config.min_chars} characters, cut.min_chars)",
        DropReason.NO_SPEECH: "where nobody is heard to speak",
        DropReason.OUTSIDE_AUDIO: "after the end of the audio",
    }
    counts = ", ".join(
        f"{dropped[reason]} {said}" for reason, said in why.items() if dropped[reason]
    )
    return f"no sentence can be used: {counts}"
