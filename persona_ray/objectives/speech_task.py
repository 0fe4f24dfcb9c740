"""Masked units of the clips of an archive, as the pretraining loop asks for them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from persona_ray.audio.frames import FrameGrid, heard
from persona_ray.config import RunConfig
from persona_ray.config.pretraining import PretrainSpeechConfig
from persona_ray.errors import CorpusError, EncoderError, TrainingError
from persona_ray.models.pretrained import reading_encoder
from persona_ray.objectives.base import MicroBatch
from persona_ray.objectives.masked_units import MaskedUnits
from persona_ray.objectives.spans import span_mask
from persona_ray.objectives.speech_start import EncoderSource, grid_of
from persona_ray.types import ClipInfo, SampleSource

# Beside the encoder's files: projection and unit embeddings.
HEADS = "masked_units.safetensors"
_ENCODER = "encoder."


class UnitSource(Protocol):
    """Units by clip; `corpus.units.UnitStore` is the one that is used."""

    @property
    def version(self) -> str: ...

    def units(self, clip_id: str) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
        """Units (frames,) of one clip; KeyError for a clip that has none."""
        ...


@dataclass(frozen=True)
class SpeechTask:
    """One iteration of masked-unit pretraining; a PretrainingTask.

    Item n is the clip `clip_ids[n]` of `durations_s[n]`, cut to `longest_s`. `encoder` is where
    training starts, `encoder_fingerprint` what its weights are; `clusters` the number of units.
    """

    settings: PretrainSpeechConfig
    encoder: EncoderSource
    encoder_fingerprint: str
    grid: FrameGrid
    clip_ids: tuple[str, ...]
    durations_s: tuple[float, ...]
    longest_s: float
    clusters: int
    source: SampleSource
    units: UnitSource

    unit: Literal["audio_s"] = "audio_s"

    @property
    def weights(self) -> Mapping[str, float]:
        """Of the terms; one that cannot change anything is left out."""
        settings = self.settings
        weights = {"masked": settings.masked_weight}
        if settings.unmasked_weight:
            weights["unmasked"] = settings.unmasked_weight
        if settings.feature_penalty and not settings.freeze_front:
            weights["penalty"] = settings.feature_penalty
        return weights

    @property
    def fingerprint(self) -> str:
        # Those that decide how fast, and not what is learned, are left out; so are the epochs,
        # which the loop looks after.
        objective = self.settings.model_dump(
            mode="json",
            include={
                "mask_start",
                "mask_length",
                "masked_weight",
                "unmasked_weight",
                "feature_penalty",
                "temperature",
                "projection",
                "freeze_front",
                "seed",
            },
        )
        digest = hashlib.sha256(json.dumps(objective, sort_keys=True).encode())
        digest.update(f"{self.encoder_fingerprint} {self.units.version} {self.grid}".encode())
        digest.update(f"{self.clusters} {self.longest_s}\n".encode())
        for clip_id in self.clip_ids:
            digest.update(clip_id.encode() + b"\n")
        return digest.hexdigest()

    def sizes(self) -> Sequence[float]:
        return [min(duration_s, self.longest_s) for duration_s in self.durations_s]

    def build(self) -> MaskedUnits:
        """Raises EncoderError where the starting encoder changed since the task was made."""
        encoder = self.encoder.load()
        if encoder.fingerprint() != self.encoder_fingerprint:
            raise EncoderError(
                f"the speech encoder in '{self.encoder.config.path}' changed while it was being "
                "trained: start anew"
            )
        if self.settings.freeze_front:
            encoder.freeze_front()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            module = MaskedUnits(
                encoder,
                self.clusters,
                self.settings.projection,
                self.settings.temperature,
                unmasked="unmasked" in self.weights,
                penalty="penalty" in self.weights,
            )
        self._take_heads(module)
        return module

    def batch(self, positions: Sequence[int], epoch: int) -> MicroBatch:
        """Raises CorpusError for a clip whose units do not fit its audio."""
        waves = [self._wave(position) for position in positions]
        frames = [self.grid.frames(len(wave)) for wave in waves]
        lengths = torch.tensor([len(wave) for wave in waves])
        units = torch.zeros(len(waves), max(frames), dtype=torch.int64)
        masked = torch.zeros_like(units, dtype=torch.bool)
        for row, (position, count) in enumerate(zip(positions, frames, strict=True)):
            clip_id = self.clip_ids[position]
            units[row, :count] = self._units(clip_id, count)
            masked[row, :count] = torch.from_numpy(
                span_mask(
                    count,
                    self.settings.mask_start,
                    self.settings.mask_length,
                    self.settings.seed,
                    epoch,
                    clip_id,
                )
            )
        total, hidden = sum(frames), int(masked.sum())
        counts = {"masked": hidden, "unmasked": total - hidden, "penalty": total}
        rate = self.grid.rate_hz
        return MicroBatch(
            inputs={
                "waves": nn.utils.rnn.pad_sequence(waves, batch_first=True),
                "lengths": lengths,
                "units": units,
                "masked": masked,
            },
            counts={term: counts[term] for term in self.weights},
            size=float(lengths.sum()) / rate,
            padded=len(waves) * float(lengths.max()) / rate,
        )

    def save(self, module: nn.Module, folder: Path) -> None:
        """A plain Hugging Face folder, with the heads as one file more."""
        from safetensors.torch import save_file

        if not isinstance(module, MaskedUnits):
            raise TrainingError(f"{type(module).__name__} is not the module that build() returned")
        folder.mkdir(parents=True, exist_ok=True)
        module.encoder.save(folder)
        self._restore_settings(folder)
        state = module.state_dict().items()
        heads = {n: t.cpu().contiguous() for n, t in state if not n.startswith(_ENCODER)}
        save_file(heads, folder / HEADS, metadata={"units": self.units.version})

    def _wave(self, position: int) -> Tensor:
        samples = self.source.samples(self.clip_ids[position])
        rate = self.grid.rate_hz
        return torch.tensor(heard(samples, self.source.sample_rate_hz, rate, self.longest_s))

    def _units(self, clip_id: str, frames: int) -> Tensor:
        units = self.units.units(clip_id)
        if len(units) != frames:
            raise CorpusError(
                f"clip {clip_id} has {len(units)} units and {frames} frames: the units are of "
                "another corpus or encoder; compute them anew"
            )
        return torch.from_numpy(units.astype(np.int64))

    def _take_heads(self, module: MaskedUnits) -> None:
        """Go on with the heads beside the starting encoder, where they are for the same units."""
        from safetensors import safe_open

        path = Path(self.encoder.config.path) / HEADS
        if not self.encoder.config.path or not path.is_file():
            return
        with reading_encoder("speech", str(path)), safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("units") != self.units.version:
                return
            heads = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            missing, unexpected = module.load_state_dict(heads, strict=False)
        lacking = [name for name in missing if not name.startswith(_ENCODER)]
        if lacking or unexpected:
            raise EncoderError(f"{path} holds other heads than these settings need: delete it")

    def _restore_settings(self, folder: Path) -> None:
        """Settings of the checkpoint that training changed are what they were."""
        if not self.encoder.config.path:
            return
        from transformers import AutoConfig

        with reading_encoder("speech", self.encoder.config.path):
            before = AutoConfig.from_pretrained(self.encoder.config.path)
        path = folder / "config.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        config["layerdrop"] = before.layerdrop
        # SpecAugment stays off where the vector of masked frames came with this training.
        if before.mask_time_prob == config["mask_time_prob"]:
            config["apply_spec_augment"] = before.apply_spec_augment
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def speech_task(
    config: RunConfig,
    iteration: int,
    encoder_path: str,
    infos: Sequence[ClipInfo],
    source: SampleSource,
    units: UnitSource,
) -> SpeechTask:
    """The task of `config.pretraining.speech.iterations[iteration]` on the clips `infos`.

    `encoder_path` is the encoder as the iteration before left it (for the first one, that of the
    model section), empty for the small one. Raises ConfigError for Whisper's encoder, EncoderError
    for what cannot be loaded, CorpusError without a clip.
    """
    if not infos:
        raise CorpusError("no clip is left to pretrain on: build a larger corpus")
    settings = config.pretraining.speech
    start = EncoderSource.of(
        config.model.speech, encoder_path, source.sample_rate_hz, settings.seed
    )
    encoder = start.load()
    return SpeechTask(
        settings=settings,
        encoder=start,
        encoder_fingerprint=encoder.fingerprint(),
        grid=grid_of(encoder),
        clip_ids=tuple(info.clip_id for info in infos),
        durations_s=tuple(info.duration_s for info in infos),
        longest_s=config.model.max_clip_s,
        clusters=settings.iterations[iteration].clusters,
        source=source,
        units=units,
    )
