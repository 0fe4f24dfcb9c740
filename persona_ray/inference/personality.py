"""Whose colour is it: one clip, a set of clips, a whole call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.audio.decode import CUT_SHORT
from persona_ray.inference.clips import (
    CallRecognition,
    ClipInput,
    ClipRecognition,
    SentenceRecognition,
    combine,
)
from persona_ray.inference.hearing import Hearing
from persona_ray.inference.judge import Judge
from persona_ray.types import CallRecord, NothingUsable, Transcript

if TYPE_CHECKING:
    from persona_ray.asr.base import Recognizer
    from persona_ray.config import RunConfig
    from persona_ray.inference.calls import Pieces
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.types import Recognition

_DAMAGED = "; the file is damaged: a part of it is missing"


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
        self.config = config
        self.judge = Judge(model, config.audio.min_level_db, device, temperature)
        self.hearing = Hearing(config, self.judge.reads, recognizer)

    @classmethod
    def load(
        cls, bundle_dir: Path, config: RunConfig, device: str = "auto"
    ) -> PersonalityRecognizer:
        """From a bundle; `device` auto takes a GPU where there is one. Raises BundleError."""
        judge = Judge.load(bundle_dir, config.audio.min_level_db, device)
        return cls(judge.model, config, device=judge.device, temperature=judge.temperature)

    @property
    def model(self) -> BimodalModel:
        return self.judge.model

    @property
    def labels(self) -> tuple[str, ...]:
        return self.judge.labels

    def clip(self, clip: ClipInput) -> ClipRecognition:
        """One clip."""
        return self.clips([clip])[0]

    def clips(self, clips: Sequence[ClipInput]) -> list[ClipRecognition]:
        """Each clip by itself, in the order given; its result depends on no other clip.

        A clip without anything to hear or read gives NothingUsable. Raises RecognitionError where
        the speech recogniser fails.
        """
        ready = [self.hearing.clip(clip) for clip in clips]
        return [
            ClipRecognition(result, clip.text)
            for result, clip in zip(self.judge.judge(ready), ready, strict=True)
        ]

    def call(self, record: CallRecord) -> CallRecognition:
        """The customer's colour in a whole call.

        The call is read, cut and recognised as the corpus job does it, by the same configuration; a
        transcript in `record` is used where `config.asr.reuse_transcripts` says so. A model that
        does not read gets its sentences from detected speech, and no recogniser runs. Nobody
        speaking, or nothing long enough, is a result. Raises CallError for audio that cannot be
        used, RecognitionError where the speech recogniser fails.
        """
        return self.pieces(self.hearing.call(record))

    def recording(
        self, uri: str, channel: int, transcript: Transcript | None = None
    ) -> CallRecognition:
        """The same for a recording outside any database: who speaks on `channel` (from 0)?

        `uri` is a path or an fsspec URI, relative to the working directory.
        """
        return self.pieces(self.hearing.recording(uri, channel, transcript))

    def upload(self, data: bytes, name: str, channel: int) -> CallRecognition:
        """The same for the bytes of an audio file; `name` stands in the messages."""
        return self.pieces(self.hearing.upload(data, name, channel))

    def pieces(self, found: Pieces) -> CallRecognition:
        """The sentences that were found in a call, judged one by one and summed up."""
        return summed_up(found, self.judge.judge(clips_of(found)))


def clips_of(found: Pieces) -> list[ClipInput]:
    """The sentences of a call as clips."""
    return [ClipInput(piece.samples, piece.sample_rate_hz, piece.text) for piece in found.pieces]


def summed_up(found: Pieces, results: Sequence[Recognition | NothingUsable]) -> CallRecognition:
    """A call by the `results` of its sentences, in their order."""
    sentences = tuple(
        SentenceRecognition(piece.start_s, piece.end_s, piece.text, result)
        for piece, result in zip(found.pieces, results, strict=True)
    )
    if sentences:
        whole = combine([sentence.result for sentence in sentences])
    else:
        whole = NothingUsable(found.reason + (_DAMAGED if CUT_SHORT in found.flags else ""))
    return CallRecognition(whole, sentences, found.flags)
