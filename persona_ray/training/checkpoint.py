"""A run's state between two updates, the same for every engine, ZeRO stage and world size.

    weights.safetensors   trained parameters in float32, and buffers, by name
    moments.safetensors   Adam's: `parameter name:exp_avg`, `parameter name:exp_avg_sq`
    state.json            what run this is, how far it is, its curve so far

Weights that training does not change are not stored: the model is built again by its task. No
random state is stored either: every update seeds its own from (seed, update, rank).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from persona_ray.errors import TrainingError
from persona_ray.training.engine.adam import MOMENTS
from persona_ray.training.engine.base import Snapshot, persistent_buffers, trained

VERSION = 2
WEIGHTS, BEST = "weights.safetensors", "best.safetensors"
_MOMENTS, _STATE = "moments.safetensors", "state.json"


def write_checkpoint(
    folder: Path,
    snapshot: Snapshot,
    progress: Mapping[str, Any],
    identity: Mapping[str, Any],
    best: Path | None = None,
) -> None:
    """`progress` and `identity` are JSON. `best`: a file with the best weights so far, which is
    linked; where it is `folder / WEIGHTS`, those of this checkpoint."""
    save_file(snapshot.weights, folder / WEIGHTS)
    save_file(snapshot.moments, folder / _MOMENTS)
    if best is not None:
        _link(best, folder / BEST)
    state = {
        "version": VERSION,
        "identity": dict(identity),
        "steps": dict(snapshot.steps),
        "progress": dict(progress),
    }
    # Last: a folder without it is no checkpoint.
    (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")


def read_progress(folder: Path, identity: Mapping[str, Any] | None) -> dict[str, Any]:
    """Raises TrainingError for a damaged checkpoint, or one of another run than `identity`'s (None:
    of any run)."""
    state = _state(folder)
    try:
        known, progress = dict(state["identity"]), dict(state["progress"])
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingError(damaged(folder / _STATE, repr(error))) from None
    if identity is not None and known != dict(identity):
        names = sorted(
            name for name in {*known, *identity} if known.get(name) != identity.get(name)
        )
        differences = "; ".join(
            f"{name}: {known.get(name)!r} there, {identity.get(name)!r} now" for name in names
        )
        raise TrainingError(
            f"checkpoint {folder} is of another run ({differences}): start anew (--fresh or "
            "another workspace), or go back to that run's configuration and data"
        )
    return progress


def read_snapshot(folder: Path, module: nn.Module) -> Snapshot:
    """The tensors, checked against `module`, built as the run built it."""
    weights = read_weights(folder / WEIGHTS, module)
    moments = _tensors(folder / _MOMENTS)
    steps = _state(folder).get("steps")
    expected = {
        f"{name}:{moment}": parameter
        for name, parameter in trained(module).items()
        for moment in MOMENTS
    }
    _fit(folder / _MOMENTS, moments, expected)
    if not isinstance(steps, dict) or not all(isinstance(n, int) for n in steps.values()):
        raise TrainingError(damaged(folder / _STATE, f"steps is {steps!r}"))
    return Snapshot(weights, moments, steps)


def load_trained(folder: Path, module: nn.Module) -> None:
    """Put a checkpoint's weights into `module`, built by the run's task."""
    put_weights(module, read_weights(folder / WEIGHTS, module))


@torch.no_grad()
def put_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    for name, tensor in {**trained(module), **persistent_buffers(module)}.items():
        tensor.copy_(weights[name])


def read_weights(path: Path, module: nn.Module) -> dict[str, Tensor]:
    """Of a file that a checkpoint holds; checked against what is trained of `module`."""
    weights = _tensors(path)
    _fit(path, weights, {**trained(module), **persistent_buffers(module)})
    return weights


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _fit(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    for name in sorted({*found, *expected}):
        there = tuple(found[name].shape) if name in found else "missing"
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        if there != wanted:
            raise TrainingError(
                f"checkpoint {path} does not fit the model at '{name}' ({there} there, {wanted} "
                "expected): start anew, or go back to that run's model"
            )


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(damaged(path, str(error))) from None


def _state(folder: Path) -> dict[str, Any]:
    path = folder / _STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        version = state["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(damaged(path, repr(error))) from None
    if version != VERSION:
        raise TrainingError(
            f"checkpoint {folder} has version {version!r}, this release reads {VERSION}: delete it"
        )
    assert isinstance(state, dict)
    return state


def damaged(path: Path, why: str) -> str:
    return (
        f"checkpoint {path} is damaged ({why}): delete its folder, and the run goes on from the "
        "checkpoint before it"
    )
