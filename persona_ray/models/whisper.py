"""The speech tower of Whisper's encoder.

Whisper was trained on windows of 30 s, each padded to that length. Here a clip is fed as long as
it is, with the encodings of the first positions: a tenth of the computation for a sentence of 3 s,
and vectors that speak of the sentence and not of the silence behind it.

Shapes: batch B, samples S, layers L (Transformer blocks), frames T of 20 ms, features F.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from persona_ray.asr.weights import WHISPER_BASE_SHA256, whisper_base_dir
from persona_ray.errors import EncoderError, EngineUnavailableError, ModelError
from persona_ray.models.log_mel import LogMel
from persona_ray.models.pretrained import quiet, read_model, reading_encoder
from persona_ray.models.tower import SpeechTower, hash_weights, mask_of
from persona_ray.models.whisper_weights import encoder_of

# model.speech.path that names the recogniser's own weights.
WHISPER_BASE = "whisper-base"
# In a saved folder, instead of weights that come with a package.
REFERENCE = "weights.json"
# The second convolution's; the first has 1.
_STRIDE = 2


class WhisperTower(SpeechTower):
    """Waves at 16 kHz in, the outputs of the encoder's blocks out.

    The norm behind the last block is left out, as everywhere: each block has one before whatever
    it computes, and the bimodal model has one behind the pooled vector.
    """

    masked_units = False
    hears = "log_mel"

    def __init__(self, encoder: Any, preprocessor: Any, published: str | None = None) -> None:
        """`encoder`: a transformers WhisperEncoder; `preprocessor`: its WhisperFeatureExtractor;
        `published`: SHA-256 of the file that comes with a package and that the weights are of."""
        super().__init__()
        if preprocessor.feature_size != encoder.config.num_mel_bins:
            raise EncoderError(
                f"Whisper's preprocessor gives {preprocessor.feature_size} mel bands, its encoder "
                f"takes {encoder.config.num_mel_bins}: they are of two models"
            )
        self.model = encoder
        self.preprocessor = preprocessor
        self.log_mel = LogMel(preprocessor)
        self._published = published
        self._published_digest = "" if published is None else self._digest()
        self.set_frozen(False)

    @classmethod
    def whisper_base(cls) -> WhisperTower:
        """With the weights that the embedded recogniser runs on; raises EncoderError."""
        from transformers import WhisperFeatureExtractor

        try:
            folder = whisper_base_dir()
        except EngineUnavailableError as error:
            raise EncoderError(f"model.speech.path '{WHISPER_BASE}': {error}") from None
        return cls(encoder_of(folder / "model.bin"), WhisperFeatureExtractor(), WHISPER_BASE_SHA256)

    @classmethod
    def load(cls, path: str) -> WhisperTower:
        """From a folder that `save` wrote, or the Hugging Face folder or name of any Whisper, of
        which the encoder is taken; raises EncoderError."""
        from transformers import AutoConfig, AutoFeatureExtractor
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        if (Path(path) / REFERENCE).is_file():
            _check_reference(Path(path) / REFERENCE)
            return cls.whisper_base()
        with reading_encoder("speech", path):
            preprocessor = AutoFeatureExtractor.from_pretrained(path)
            if AutoConfig.from_pretrained(path).architectures == [WhisperEncoder.__name__]:
                encoder = read_model("speech", path, (), WhisperEncoder)
            else:
                encoder = read_model("speech", path, ("decoder.",)).encoder
        return cls(encoder, preprocessor)

    def save(self, folder: Path) -> None:
        """Write config and preprocessor, and the weights unless they are `published`: then
        weights.json says which they are, and `load` takes them from their package.

        `WhisperEncoder.from_pretrained` of transformers loads a folder with weights.
        """
        published = self.published
        with quiet():
            self.preprocessor.save_pretrained(folder)
            if published is None:
                self.model.save_pretrained(folder)
                return
            self.model.config.architectures = [type(self.model).__name__]
            self.model.config.save_pretrained(folder)
        reference = {"weights": WHISPER_BASE, "sha256": published}
        (folder / REFERENCE).write_text(json.dumps(reference) + "\n", encoding="utf-8")

    @property
    def layers(self) -> int:
        return len(self.model.layers)

    @property
    def features(self) -> int:
        return int(self.model.config.d_model)

    @property
    def min_samples(self) -> int:
        return self.log_mel.size

    @property
    def normalize(self) -> bool:
        return False

    @property
    def longest_s(self) -> float:
        hop_s = self.log_mel.hop / self.sample_rate_hz
        return float(self.model.config.max_source_positions * _STRIDE * hop_s)

    @property
    def published(self) -> str | None:
        # The weights themselves are asked: whoever trained them need not tell.
        unchanged = self._published is not None and self._digest() == self._published_digest
        return self._published if unchanged else None

    def frames(self, lengths: Tensor) -> Tensor:
        """Frames (B,) of clips with `lengths` (B,) samples."""
        return _halved(self.log_mel.frames(lengths.clamp(min=self.min_samples)))

    def _never_trained(self) -> Iterator[nn.Parameter]:
        yield from super()._never_trained()
        # Sinusoids, held in Whisper's own training too.
        yield from self.model.embed_positions.parameters()
        # It sits behind the vectors that are used here.
        yield from self.model.layer_norm.parameters()

    def _front(self) -> tuple[nn.Module, ...]:
        return self.model.conv1, self.model.conv2

    def _behind_front(self) -> nn.Module:
        blocks: nn.Module = self.model.layers
        return blocks

    def front(self, waves: Tensor, lengths: Tensor) -> Tensor:
        waves = self._prepare(waves, lengths)
        lengths = lengths.clamp(min=self.min_samples)
        longest = int(self.frames(lengths).max())
        if longest > self.model.config.max_source_positions:
            seconds = int(lengths.max()) / self.sample_rate_hz
            raise ModelError(
                f"a clip of {seconds:.1f} s is longer than the {self.longest_s:g} s that Whisper's "
                f"encoder hears at once: set model.max_clip_s to at most {self.longest_s:g}"
            )
        return self._convolved(waves, lengths)

    def _blocks(self, front: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        longest = front.shape[1]
        mask = mask_of(self.frames(lengths), longest)
        hidden = front + self.model.embed_positions.weight[:longest]
        dropout = self.model.config.dropout
        hidden = nn.functional.dropout(hidden, p=dropout, training=self.training)
        # (B, 1, 1, T): no frame attends to padding. Left out, attention runs faster.
        attended = None if bool(mask.all()) else mask[:, None, None, :]
        outputs = []
        # transformers' own forward takes 30 s and nothing else; it also drops layers at random,
        # which ranks and reruns would do differently.
        for block in self.model.layers:
            hidden = block(hidden, attended)
            outputs.append(hidden)
        return outputs, mask

    def _prepare(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Zero what is beyond each clip, pad the batch to `min_samples`."""
        valid = mask_of(lengths, waves.shape[1])
        missing = self.min_samples - waves.shape[1]
        return nn.functional.pad(torch.where(valid, waves, 0.0), (0, max(0, missing)))

    def _convolved(self, waves: Tensor, lengths: Tensor) -> Tensor:
        """Waves (B, S) -> the front's output (B, T, F)."""
        level, own = self.log_mel(waves, lengths)
        first = nn.functional.gelu(self.model.conv1(level))
        # Behind a clip alone the second convolution sees zeros.
        first = first.masked_fill(~own[:, None], 0.0)
        front: Tensor = nn.functional.gelu(self.model.conv2(first)).transpose(1, 2)
        return front

    def _digest(self) -> str:
        digest = hashlib.sha256()
        hash_weights(digest, self.model)
        return digest.hexdigest()


def _halved(frames: Tensor) -> Tensor:
    """Kernel 3, stride 2, padding 1."""
    return torch.div(frames + 1, _STRIDE, rounding_mode="floor")


def _check_reference(path: Path) -> None:
    try:
        reference = json.loads(path.read_text(encoding="utf-8"))
        named, digest = reference["weights"], reference["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{path} is damaged ({error!r})") from None
    if (named, digest) != (WHISPER_BASE, WHISPER_BASE_SHA256):
        raise EncoderError(
            f"{path} asks for the weights '{named}' with SHA-256 {str(digest)[:12]}…; known are "
            f"'{WHISPER_BASE}' with {WHISPER_BASE_SHA256[:12]}…"
        )
