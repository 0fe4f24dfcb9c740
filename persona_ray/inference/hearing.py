"""From sound to sentences: decoding, voice activity, speech recognition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.asr.lazy import LazyRecognizer
from persona_ray.audio.decoder import Here
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import VoiceActivity
from persona_ray.inference.calls import (
    Pieces,
    hear_sentences,
    heard_pieces,
    read_pieces,
    read_sentences,
)
from persona_ray.types import CallRecord, Transcript

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.audio.decode import DecodedAudio
    from persona_ray.audio.decoder import Decoder
    from persona_ray.audio.vad import Span
    from persona_ray.config import RunConfig
    from persona_ray.inference.clips import ClipInput
    from persona_ray.types import Samples


class Hearing:
    """What a model is given to judge: the sentences of a call, of a stretch of live speech.

    Holds no state between calls but the speech recogniser, which is loaded when a text is missing
    for the first time; it may be asked from several threads. `config` gives how audio is read,
    cut and recognised. Where the model does not read (`reads` false) sentences come from detected
    speech alone, and no recogniser runs.
    """

    def __init__(
        self,
        config: RunConfig,
        reads: bool = True,
        recognizer: Recognizer | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        """`recognizer`: None builds the one that `config.asr` names, once it is needed. `decoder`:
        of recordings; None decodes in this process."""
        self.config = config
        self.reads = reads
        self._recognizer: Recognizer = recognizer or LazyRecognizer(config.asr)
        self._decoder: Decoder = decoder or Here()
        self._voice = VoiceActivity(config.vad)

    def for_model(self, reads: bool) -> Hearing:
        """The same with the same recogniser, for a model that reads or does not."""
        return Hearing(self.config, reads, self._recognizer, self._decoder)

    def call(self, record: CallRecord) -> Pieces:
        """The customer's sentences in a call of the archive, as the corpus job finds them.

        A transcript in `record` is used where `config.asr.reuse_transcripts` says so. Silence is
        a result. Raises CallError for audio that cannot be used, RecognitionError where the
        speech recogniser fails.
        """
        return self._sentences(record, self.config, None)

    def cuts_by_words(self, record: CallRecord) -> bool:
        """Whether sentences of the call come from words, as the corpus's do, or from speech."""
        known = record.customer_channel in record.transcripts
        return self.reads or (known and self.config.asr.reuse_transcripts)

    def recording(self, uri: str, channel: int, transcript: Transcript | None = None) -> Pieces:
        """The same for a recording outside any database: who speaks on `channel` (from 0)?

        `uri` is a path or an fsspec URI, relative to the working directory.
        """
        where = uri if "://" in uri else str(Path(uri).absolute())
        audio = self._decoder.read(where, *self._limits())
        return self._outside(_record(uri, where, channel, transcript), audio)

    def upload(
        self, data: bytes, name: str, channel: int, transcript: Transcript | None = None
    ) -> Pieces:
        """The same for the bytes of an audio file; `name` stands in the messages."""
        audio = self._decoder.upload(data, name, *self._limits())
        return self._outside(_record(name, name, channel, transcript), audio)

    def utterance(self, samples: Samples, rate_hz: int, speech: Sequence[Span]) -> Pieces:
        """The sentences in samples (n,) of a live call, cut and dropped as those of a recorded
        call are. `speech`: the spans in it; times are in seconds from its start.

        Raises RecognitionError where the speech recogniser fails.
        """
        if not speech or len(samples) == 0:
            return Pieces((), "no speech detected", ())
        native_hz = self.config.audio.sample_rate_hz
        samples = resample(samples, rate_hz, native_hz)
        if not self.reads:
            return heard_pieces(samples, native_hz, speech, self.config)
        transcript = self._recognizer.transcribe(samples, native_hz, speech)
        return read_pieces(samples, native_hz, speech, transcript, self.config)

    def find(self, samples: Samples, rate_hz: int) -> tuple[Span, ...]:
        """Where somebody speaks in samples (n,)."""
        return self._voice.speech(samples, rate_hz)

    def text(self, samples: Samples, rate_hz: int, speech: Sequence[Span] | None = None) -> str:
        """What is said in samples (n,), empty where nothing is; `speech` None: it is looked for."""
        if len(samples) == 0:
            return ""
        if speech is None:
            speech = self.find(samples, rate_hz)
        if not speech:
            return ""
        return self._recognizer.transcribe(samples, rate_hz, speech).text

    def clip(self, clip: ClipInput) -> ClipInput:
        """The clip with the text that the model will read: recognised where it is not given, None
        where the model does not read."""
        if not self.reads:
            return replace(clip, text=None)
        if clip.text is not None:
            return replace(clip, text=clip.text.strip())
        if clip.samples is None:
            return replace(clip, text="")
        return replace(clip, text=self.text(clip.samples, clip.sample_rate_hz))

    def _limits(self) -> tuple[float, float]:
        return self.config.archive.max_call_s, self.config.audio.truncated_below

    def _outside(self, record: CallRecord, audio: DecodedAudio) -> Pieces:
        # The channel was named by a person: it is not taken for swapped, whatever is said on it.
        archive = self.config.archive.model_copy(update={"agent_phrases": ()})
        config = self.config.model_copy(update={"archive": archive})
        found = self._sentences(record, config, audio)
        # Nor was a number of channels promised that the file could miss.
        return replace(found, flags=tuple(flag for flag in found.flags if flag != "channels"))

    def _sentences(
        self, record: CallRecord, config: RunConfig, audio: DecodedAudio | None
    ) -> Pieces:
        if self.cuts_by_words(record):
            return read_sentences(record, self._recognizer, self._voice, config, audio)
        return hear_sentences(record, self._voice, config, audio)


def _record(name: str, uri: str, channel: int, transcript: Transcript | None) -> CallRecord:
    return CallRecord(
        call_id=name,
        customer_id="",
        audio_uri=uri,
        customer_channel=channel,
        # No database promises a second one: who named the channel knows what is on it.
        channels=1,
        transcripts={} if transcript is None else {channel: transcript},
    )
