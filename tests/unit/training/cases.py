"""Runs that are compared with one another: on one worker or several, stopped, or gone on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from torch import distributed as dist

from persona_ray.training.context import PlainContext


def context_of(
    root: Path, name: str, rank: int, workers: int, *, after: str = "", stopped_after: int = 0
) -> PlainContext:
    """For the run `name` in `root`: it goes on from where the run `after` was stopped, and is
    itself stopped after so many updates (0: never). One worker alone is asked; all stop."""
    folder = root / name
    if after and rank == 0:
        shutil.copytree(root / after, folder)
    if workers > 1:
        dist.barrier()
    asked = iter(range(1, 10_000))
    return PlainContext(
        folder,
        rank=rank,
        world_size=workers,
        device=torch.device("cpu"),
        stop=lambda: bool(stopped_after) and rank == 0 and next(asked) >= stopped_after,
    )
