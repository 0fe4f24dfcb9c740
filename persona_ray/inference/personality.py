"""Whose colour is it: one clip, a set of clips, a whole call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.asr.lazy import LazyRecognizer
from persona_ray.audio.channels import loudest_db
from persona_ray.audio.vad import VoiceActivity
from persona_ray.inference.calls import Pieces, hear_sentences, read_sentences
from persona_ray.inference.clips import (
    CallRecognition,
    ClipInput,
    ClipRecognition,
    SentenceRecognition,
    combine,
)
from persona_ray.types import CallRecord, NothingUsable, Recognition, Transcript

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.config import RunConfig
    from persona_ray.models.bimodal import BimodalModel

# Audio of one batch with its padding, in seconds: bounds memory, not results.
BATCH_S = 120.0
# Clips of one batch where the model only reads.
BATCH_TEXTS = 256


class PersonalityRecognizer:
    """A loaded bundle with what it needs to hear and read.

    Holds no state between calls but the speech recogniser, which is loaded when a text is missing
    for the first time. `config` gives how audio is read, cut and recognised.
    """

    def __init__(
        self,
        model: BimodalModel,
        config: RunConfig,
        recognizer: Recognizer | None = None,
        device: str = "cpu",
        temperature: float = 1.0,
    ) -> None:
        """`recognizer`: None builds the one that `config.asr` names, once it is needed.
        `temperature`: the bundle's, by which logits are divided."""
        self.model = model.to(device).eval()
        self.config = config
        self.device = device
        self.temperature = temperature
        self._recognizer: Recognizer = recognizer or LazyRecognizer(config.asr)
        self._voice = VoiceActivity(config.vad)

    @classmethod
    def load(
        cls, bundle_dir: Path, config: RunConfig, device: str = "auto"
    ) -> PersonalityRecognizer:
        """From a bundle; `device` auto takes a GPU where there is one. Raises BundleError."""
        import torch

        from persona_ray.models.bundle import load_bundle

        model, contract = load_bundle(bundle_dir)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(model, config, device=device, temperature=contract.temperature)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.model.labels

    def clip(self, clip: ClipInput) -> ClipRecognition:
        """One clip."""
        return self.clips([clip])[0]

    def clips(self, clips: Sequence[ClipInput]) -> list[ClipRecognition]:
        """Each clip by itself, in the order given; its result depends on no other clip.

        A clip without anything to hear or read gives NothingUsable. Raises RecognitionError where
        the speech recogniser fails.
        """
        texts = [self._text(clip) for clip in clips]
        reasons = [self._unusable(clip, text) for clip, text in zip(clips, texts, strict=True)]
        usable = [number for number, reason in enumerate(reasons) if reason is None]
        results: dict[int, Recognition] = {}
        for batch in self._batches(clips, usable):
            rows = self._probabilities([clips[i] for i in batch], [texts[i] or "" for i in batch])
            for number, row in zip(batch, rows, strict=True):
                results[number] = Recognition(dict(zip(self.labels, row, strict=True)), clips=1)
        return [
            ClipRecognition(results[i] if reason is None else NothingUsable(reason), texts[i])
            for i, reason in enumerate(reasons)
        ]

    def call(self, record: CallRecord) -> CallRecognition:
        """The customer's colour in a whole call.

        The call is read, cut and recognised as the corpus job does it, by the same configuration; a
        transcript in `record` is used where `config.asr.reuse_transcripts` says so. A model that
        does not read gets its sentences from detected speech, and no recogniser runs. Nobody
        speaking, or nothing long enough, is a result. Raises CallError for audio that cannot be
        used, RecognitionError where the speech recogniser fails.
        """
        return self._call(record, self.config)

    def recording(
        self, uri: str, channel: int, transcript: Transcript | None = None
    ) -> CallRecognition:
        """The same for a recording outside any database: who speaks on `channel` (from 0)?

        `uri` is a path or an fsspec URI, relative to the working directory.
        """
        record = CallRecord(
            call_id=uri,
            customer_id="",
            audio_uri=uri if "://" in uri else str(Path(uri).absolute()),
            customer_channel=channel,
            channels=channel + 1,
            transcripts={} if transcript is None else {channel: transcript},
        )
        # The channel was named by a person: it is not taken for swapped, whatever is said on it.
        archive = self.config.archive.model_copy(update={"agent_phrases": ()})
        found = self._call(record, self.config.model_copy(update={"archive": archive}))
        # Nor was a number of channels promised that the file could miss.
        return replace(found, flags=tuple(flag for flag in found.flags if flag != "channels"))

    def _call(self, record: CallRecord, config: RunConfig) -> CallRecognition:
        found = self._sentences(record, config)
        inputs = [
            ClipInput(piece.samples, piece.sample_rate_hz, piece.text) for piece in found.pieces
        ]
        sentences = tuple(
            SentenceRecognition(piece.start_s, piece.end_s, piece.text, judged.result)
            for piece, judged in zip(found.pieces, self.clips(inputs), strict=True)
        )
        if sentences:
            whole = combine([sentence.result for sentence in sentences])
        else:
            whole = NothingUsable(found.reason)
        return CallRecognition(whole, sentences, found.flags)

    def _sentences(self, record: CallRecord, config: RunConfig) -> Pieces:
        known = record.customer_channel in record.transcripts
        if self.model.text is None and not (known and config.asr.reuse_transcripts):
            return hear_sentences(record, self._voice, config)
        return read_sentences(record, self._recognizer, self._voice, config)

    def _text(self, clip: ClipInput) -> str | None:
        """The clip's text as the model will read it; None where it does not read."""
        if self.model.text is None:
            return None
        if clip.text is not None:
            return clip.text.strip()
        if clip.samples is None or len(clip.samples) == 0:
            return ""
        speech = self._voice.speech(clip.samples, clip.sample_rate_hz)
        if not speech:
            return ""
        return self._recognizer.transcribe(clip.samples, clip.sample_rate_hz, speech).text

    def _unusable(self, clip: ClipInput, text: str | None) -> str | None:
        """Why the model cannot judge the clip, or None if it can."""
        if self.model.speech is not None:
            if clip.samples is None or len(clip.samples) == 0:
                return "no audio"
            if not np.isfinite(clip.samples).all():
                return "audio with samples that are no numbers"
            if loudest_db(clip.samples, clip.sample_rate_hz) < self.config.audio.min_level_db:
                return "silence"
        if text == "":
            return "no words"
        return None

    def _batches(self, clips: Sequence[ClipInput], usable: Sequence[int]) -> Iterator[list[int]]:
        """Numbers of clips by length, so that little of a batch is padding."""
        if self.model.speech is None:
            for start in range(0, len(usable), BATCH_TEXTS):
                yield list(usable[start : start + BATCH_TEXTS])
            return
        batch: list[int] = []
        for number in sorted(usable, key=lambda i: _seconds(clips[i])):
            longest_s = min(_seconds(clips[number]), self.model.max_clip_s)
            if batch and longest_s * (len(batch) + 1) > BATCH_S:
                yield batch
                batch = []
            batch.append(number)
        if batch:
            yield batch

    def _probabilities(self, clips: Sequence[ClipInput], texts: Sequence[str]) -> list[list[float]]:
        """(clips, labels), each row summing to 1."""
        import torch

        from persona_ray.models.collate import collate, fit_clip

        waves = []
        rate_hz = 0
        if self.model.speech is not None:
            rate_hz = self.model.speech.sample_rate_hz
            # Before they are collated, which takes clips of one rate.
            waves = [
                fit_clip(clip.samples, clip.sample_rate_hz, self.model)
                for clip in clips
                if clip.samples is not None
            ]
        batch = collate(texts, waves, None, self.model, rate_hz).to(self.device)
        with torch.inference_mode():
            # In double precision the rows sum to 1 as closely as anyone will look.
            logits = self.model(batch).double() / self.temperature
            probabilities = torch.softmax(logits, dim=-1)
        rows: list[list[float]] = probabilities.cpu().tolist()
        return rows


def _seconds(clip: ClipInput) -> float:
    return 0.0 if clip.samples is None else len(clip.samples) / clip.sample_rate_hz
