"""GE2E voiceprints: a small LSTM that was trained to put one person's sentences together.

Wan et al. 2018, "Generalized end-to-end loss for speaker verification" (arXiv 1710.10467). Network
and weights are those of Resemblyzer 0.1.4 (Apache-2.0), whose code cannot be imported beside
today's libraries: only its file of weights is read, as plain tensors.

Shapes: partials P, frames of one partial T, mel bands M, size of a voiceprint D.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torchaudio
from torch import Tensor, nn

from persona_ray.errors import EngineUnavailableError
from persona_ray.files import sha256_file

if TYPE_CHECKING:
    from persona_ray.types import Samples

RATE_HZ = 16_000
_WINDOW, _HOP, _MELS = 400, 160, 40
# Frames of one partial, 1.6 s, and what of it must be there for the last one to count.
_PARTIAL, _COVERAGE = 160, 0.75
_SIZE, _LAYERS = 256, 3
# The level that every clip is brought to: the network hears powers, not their logarithm.
_LEVEL_DBFS = -30.0
_VERSION = "0.1.4"
WEIGHTS_SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"


class Ge2e(nn.Module):
    """Mel powers (P, T, M) -> unit vectors (P, D), no component negative."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_MELS, _SIZE, _LAYERS, batch_first=True)
        self.linear = nn.Linear(_SIZE, _SIZE)

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu(), dim=1)


class Ge2eEncoder:
    """Speech without silence -> a voiceprint. Weights are loaded once, here."""

    rate_hz = RATE_HZ
    size = _SIZE
    name = f"ge2e/{WEIGHTS_SHA256[:12]}"

    def __init__(self, weights: str = "", partials_per_s: float = 1.3) -> None:
        """`weights`: a safetensors file with this network's tensors; empty: the pinned ones.
        Partials begin this often. Raises EngineUnavailableError."""
        self._network = Ge2e().eval().requires_grad_(False)
        if weights:
            self.name = f"ge2e/{_load_safetensors(self._network, Path(weights))[:12]}"
        else:
            _load_pinned(self._network)
        self._step = round(RATE_HZ / partials_per_s / _HOP)
        self._mel = torchaudio.transforms.MelSpectrogram(
            sample_rate=RATE_HZ,
            n_fft=_WINDOW,
            hop_length=_HOP,
            n_mels=_MELS,
            power=2.0,
            pad_mode="constant",
            norm="slaney",
            mel_scale="slaney",
        )

    def print_of(self, speech: Samples) -> Samples:
        """Samples (n,) at `rate_hz`, all of them one person's speech -> a unit vector (D,).

        The mean of the partials' vectors, which overlap by half. Speech shorter than one partial
        is heard once, with silence behind it.
        """
        starts = partial_starts(len(speech), self._step)
        needed = (starts[-1] + _PARTIAL) * _HOP
        waves = np.pad(at_level(speech), (0, max(0, needed - len(speech))))
        with torch.inference_mode():
            mels = self._mel(torch.from_numpy(waves)).T
            vectors = self._network(torch.stack([mels[i : i + _PARTIAL] for i in starts]))
            mean: Samples = nn.functional.normalize(vectors.mean(dim=0), dim=0).numpy()
        return mean


def partial_starts(samples: int, step: int) -> list[int]:
    """Frames at which the partials of a clip begin, every `step` frames, from 0.

    The last one is left out where less than three quarters of it lie in the clip.
    """
    frames = -(-(samples + 1) // _HOP)
    starts = list(range(0, max(1, frames - _PARTIAL + step + 1), step))
    covered = (samples - starts[-1] * _HOP) / (_PARTIAL * _HOP)
    return starts[:-1] if covered < _COVERAGE and len(starts) > 1 else starts


def at_level(speech: Samples, dbfs: float = _LEVEL_DBFS) -> Samples:
    """Speech (n,) scaled to `dbfs` RMS; silence stays as it is."""
    rms = float(np.sqrt(np.mean(np.square(speech, dtype=np.float64)))) if len(speech) else 0.0
    if rms == 0.0:
        return speech
    return (speech * np.float32(10 ** (dbfs / 20) / rms)).astype(np.float32)


def _load_pinned(network: Ge2e) -> None:
    """The file of weights in the package, verified before it is read and never unpickled."""
    path = _package_dir() / "pretrained.pt"
    if not path.is_file():
        raise EngineUnavailableError(f"{path} is missing: {_reinstall()}")
    digest = sha256_file(path)
    if digest != WEIGHTS_SHA256:
        raise EngineUnavailableError(
            f"{path.name} of GE2E has SHA-256 {digest[:12]}… where {WEIGHTS_SHA256[:12]}… is "
            f"pinned: {_reinstall()}"
        )
    kept = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    _fill(network, kept, path)


def _load_safetensors(network: Ge2e, path: Path) -> str:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
        digest = sha256_file(path)
    except (OSError, SafetensorError) as error:
        raise EngineUnavailableError(
            f"screening.voice.weights {path} cannot be read as safetensors ({error}): name a file "
            "with GE2E's tensors, or leave it empty for those that come with the product"
        ) from None
    _fill(network, tensors, path)
    return digest


def _fill(network: Ge2e, tensors: dict[str, Any], path: Path) -> None:
    wanted = network.state_dict()
    wrong = [
        name
        for name, tensor in wanted.items()
        if name not in tensors or tensors[name].shape != tensor.shape
    ]
    if wrong:
        raise EngineUnavailableError(
            f"{path} is not GE2E: {wrong[0]} of shape {tuple(wanted[wrong[0]].shape)} is not in "
            "it; leave screening.voice.weights empty for those that come with the product"
        )
    network.load_state_dict({name: tensors[name] for name in wanted})


def _package_dir() -> Path:
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or not spec.submodule_search_locations:
        raise EngineUnavailableError(f"voiceprints need the weights of resemblyzer: {_reinstall()}")
    return Path(next(iter(spec.submodule_search_locations)))


def _reinstall() -> str:
    return f"pip install --force-reinstall --no-deps resemblyzer=={_VERSION}"
