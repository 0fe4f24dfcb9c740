"""State between two epochs: what training has changed, the optimizer and the history.

    weights.safetensors     trained parameters and buffers, by name
    optimizer.safetensors   Adam's moments and step counts: `parameter name:key`
    state.json              history, and what the run must agree on to go on

Parameters that training has not touched are not stored: the model is built again from its folder
or seed. No random state is stored either: each epoch seeds its own from (seed, epoch, rank).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from persona_ray.config.learning import TrainingConfig
from persona_ray.errors import TrainingError
from persona_ray.models.bimodal import BimodalModel
from persona_ray.training.finetune.history import History

VERSION = 1


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What must be the same when a run goes on from a checkpoint."""

    config: dict[str, Any]
    train_clips: int
    labels: list[str]

    @classmethod
    def of(cls, config: TrainingConfig, train_clips: int, labels: Sequence[str]) -> RunIdentity:
        return cls(config.model_dump(mode="json"), train_clips, list(labels))


def save_checkpoint(
    folder: Path,
    model: BimodalModel,
    optimizer: torch.optim.Adam,
    history: History,
    identity: RunIdentity,
) -> None:
    save_file(_changed(model), folder / "weights.safetensors")
    names: dict[torch.Tensor, str] = {
        parameter: name for name, parameter in model.named_parameters()
    }
    moments = {
        f"{names[parameter]}:{key}": value.detach().clone().contiguous()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }
    save_file(moments, folder / "optimizer.safetensors")
    state = {
        "version": VERSION,
        "config": identity.config,
        "train_clips": identity.train_clips,
        "labels": identity.labels,
        "history": history.as_json(),
    }
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")


def read_history(folder: Path, identity: RunIdentity) -> History:
    """Raises TrainingError for a damaged checkpoint or one of another run."""
    try:
        state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if state["version"] != VERSION:
            raise TrainingError(f"checkpoint {folder} has version {state['version']}: delete it")
        known = RunIdentity(state["config"], state["train_clips"], state["labels"])
        history = History.from_json(state["history"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"checkpoint {folder} is damaged ({error!r}): delete it") from None
    if known != identity:
        differs = [
            name
            for name in ("config", "train_clips", "labels")
            if getattr(known, name) != getattr(identity, name)
        ]
        raise TrainingError(
            f"checkpoint {folder} is of another run ({', '.join(differs)} differ): "
            "delete it, or go back to that run's configuration and data"
        )
    return history


def load_weights(folder: Path, model: BimodalModel) -> None:
    """Put a checkpoint's weights into `model`, built as the run built it."""
    tensors = _read(folder / "weights.safetensors")
    known = model.state_dict()
    for name, tensor in tensors.items():
        if name not in known or known[name].shape != tensor.shape:
            raise TrainingError(
                f"checkpoint {folder} does not fit the model at '{name}' "
                f"{tuple(tensor.shape)}: delete it"
            )
    model.load_state_dict(tensors, strict=False)


def load_moments(folder: Path, model: BimodalModel, optimizer: torch.optim.Adam) -> None:
    """Put a checkpoint's moments into `optimizer`, which has its parameter groups already."""
    parameters = dict(model.named_parameters())
    for name, tensor in _read(folder / "optimizer.safetensors").items():
        owner, _, key = name.rpartition(":")
        parameter = parameters[owner]
        # Adam keeps its step counts on the CPU.
        optimizer.state[parameter][key] = tensor if key == "step" else tensor.to(parameter.device)


def _changed(model: BimodalModel) -> dict[str, torch.Tensor]:
    still = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    return {
        name: tensor.detach().cpu().clone().contiguous()
        for name, tensor in model.state_dict().items()
        if name not in still
    }


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"checkpoint {path} is damaged ({error}): delete its folder") from None
