"""From sentences to probabilities: the model alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from persona_ray.audio.channels import loudest_db
from persona_ray.types import NothingUsable, Recognition

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from persona_ray.inference.clips import ClipInput
    from persona_ray.models.bimodal import BimodalModel
    from persona_ray.types import Samples

    # Of one clip: what a tower says, float32 (layers, features) or (features,).
    Vector = NDArray[np.float32]

# Audio of one batch with its padding, in seconds: bounds memory, not results.
BATCH_S = 120.0
# On a processor padding costs what sound costs, and a batch gains little: clips of one batch are
# so much alike that padding is at most this share of their audio. A GPU wants its batches large.
PADDING = 0.05
# Clips of one batch where the model only reads.
BATCH_TEXTS = 256


class Judge:
    """A loaded model that judges clips whose text is known.

    Its three stages can be called apart, one process each: what the speech tower says of clips,
    what the text tower says, and the probabilities by both. Holds no state between calls.
    """

    def __init__(
        self,
        model: BimodalModel,
        min_level_db: float,
        device: str = "cpu",
        temperature: float = 1.0,
    ) -> None:
        """`min_level_db`: quieter clips are silence (audio.min_level_db); `temperature`: the
        bundle's, by which logits are divided."""
        self.model = model.to(device).eval()
        self.min_level_db = min_level_db
        self.device = device
        self.temperature = temperature

    @classmethod
    def load(cls, bundle_dir: Path, min_level_db: float, device: str = "auto") -> Judge:
        """From a bundle; `device` auto takes a GPU where there is one. Raises BundleError."""
        import torch

        from persona_ray.models.bundle import load_bundle

        model, contract = load_bundle(bundle_dir)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(model, min_level_db, device, contract.temperature)

    @property
    def labels(self) -> tuple[str, ...]:
        return self.model.labels

    @property
    def hears(self) -> bool:
        return self.model.speech is not None

    @property
    def reads(self) -> bool:
        return self.model.text is not None

    def keep(self, speech: bool, text: bool) -> None:
        """Let go of the weights of the towers that are not kept: their stage is asked elsewhere."""
        import torch

        for tower, kept in ((self.model.speech, speech), (self.model.text, text)):
            if tower is not None and not kept:
                tower.model = torch.nn.Module()

    def judge(self, clips: Sequence[ClipInput]) -> list[Recognition | NothingUsable]:
        """Each clip by itself, in the order given; its result depends on no other clip.

        A clip without anything to hear or read gives NothingUsable.
        """
        reasons = [self.unusable(clip) for clip in clips]
        usable = [number for number, reason in enumerate(reasons) if reason is None]
        results: dict[int, Recognition] = {}
        for batch in self._batches(clips, usable):
            chosen = [clips[number] for number in batch]
            rows = self.probabilities(
                self.speech_vectors(chosen) if self.hears else (),
                self.text_vectors([clip.text or "" for clip in chosen]) if self.reads else (),
            )
            results.update(zip(batch, rows, strict=True))
        return [
            results[number] if reason is None else NothingUsable(reason)
            for number, reason in enumerate(reasons)
        ]

    def unusable(self, clip: ClipInput) -> str | None:
        """Why the model cannot judge the clip, or None if it can."""
        return self.unheard(clip) or self.unread(clip)

    def unheard(self, clip: ClipInput) -> str | None:
        """Why the speech tower can make nothing of it, or None if it can or there is none."""
        if not self.hears:
            return None
        if clip.samples is None or len(clip.samples) == 0:
            return "no audio"
        if not np.isfinite(clip.samples).all():
            return "audio with samples that are no numbers"
        if loudest_db(clip.samples, clip.sample_rate_hz) < self.min_level_db:
            return "silence"
        return None

    def unread(self, clip: ClipInput) -> str | None:
        """Why the text tower can make nothing of it, or None if it can or there is none."""
        return "no words" if self.reads and not clip.text else None

    def speech_vectors(self, clips: Sequence[ClipInput]) -> list[Vector]:
        """(layers, features) of each clip, all in one batch; each must be one that is heard."""
        import torch

        from persona_ray.models.collate import fit_clip

        speech = self.model.speech
        if speech is None:
            raise ValueError("the model does not hear: it has no speech vectors")
        waves = [
            torch.tensor(fit_clip(_samples(clip), clip.sample_rate_hz, self.model))
            for clip in clips
        ]
        lengths = torch.tensor([len(wave) for wave in waves], dtype=torch.int64)
        padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
        with torch.inference_mode():
            found = speech.pooled(padded.to(self.device), lengths.to(self.device))
        return list(found.float().cpu().numpy())

    def text_vectors(self, texts: Sequence[str]) -> list[Vector]:
        """(features,) of each text, all in one batch."""
        import torch

        text = self.model.text
        if text is None:
            raise ValueError("the model does not read: it has no text vectors")
        tokens = {name: value.to(self.device) for name, value in text.tokenize(texts).items()}
        with torch.inference_mode():
            found = text(tokens)
        return list(found.float().cpu().numpy())

    def probabilities(self, speech: Sequence[Vector], text: Sequence[Vector]) -> list[Recognition]:
        """By the vectors of both towers; of a tower that the model has not, none are looked at."""
        import torch

        from persona_ray.models.bimodal import Encoded

        encoded = Encoded(
            torch.from_numpy(np.stack(speech)).to(self.device) if self.hears else None,
            torch.from_numpy(np.stack(text)).to(self.device) if self.reads else None,
        )
        with torch.inference_mode():
            # In double precision the rows sum to 1 as closely as anyone will look.
            logits = self.model.classify(encoded).double() / self.temperature
            rows = torch.softmax(logits, dim=-1).cpu().tolist()
        return [Recognition(dict(zip(self.labels, row, strict=True)), clips=1) for row in rows]

    def _batches(self, clips: Sequence[ClipInput], usable: Sequence[int]) -> Iterator[list[int]]:
        """Numbers of clips by length, so that little of a batch is padding."""
        if not self.hears:
            for start in range(0, len(usable), BATCH_TEXTS):
                yield list(usable[start : start + BATCH_TEXTS])
            return
        most = 1 + PADDING if self.device == "cpu" else math.inf
        batch: list[int] = []
        sound_s = 0.0
        for number in sorted(usable, key=lambda i: seconds(clips[i])):
            longest_s = min(seconds(clips[number]), self.model.max_clip_s)
            padded_s = longest_s * (len(batch) + 1)
            if batch and (padded_s > BATCH_S or padded_s > most * (sound_s + longest_s)):
                yield batch
                batch, sound_s = [], 0.0
            batch.append(number)
            sound_s += longest_s
        if batch:
            yield batch


def seconds(clip: ClipInput) -> float:
    """Length of a clip's audio."""
    return 0.0 if clip.samples is None else len(clip.samples) / clip.sample_rate_hz


def _samples(clip: ClipInput) -> Samples:
    if clip.samples is None:
        raise ValueError("a clip without audio has no speech vector")
    return np.ascontiguousarray(clip.samples, dtype=np.float32)
