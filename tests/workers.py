"""Processes that tests of several workers share: torch and DeepSpeed take each of them ten seconds
to load."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Concatenate, ParamSpec

P = ParamSpec("P")
# Of a worker that waits for one that has failed.
PATIENCE = timedelta(seconds=120)


class Workers:
    """Two workers of one gloo group, and one that is by itself, one thread each. They start when
    they are first asked, and stay: what they are given must leave no process group behind."""

    def __init__(self, folder: Path) -> None:
        self._group = [_process(partial(_join, folder / "store", rank)) for rank in range(2)]
        self._single = _process(_alone)

    def together(
        self, work: Callable[Concatenate[int, P], None], *args: P.args, **named: P.kwargs
    ) -> None:
        """`work(rank, ...)` on both workers of the group; raises what the first of them raised."""
        both = [one.submit(work, rank, *args, **named) for rank, one in enumerate(self._group)]
        for one in both:
            one.result()

    def alone(self, work: Callable[P, None], *args: P.args, **named: P.kwargs) -> None:
        """`work(...)` in the process that is in no group; raises what it raised."""
        self._single.submit(work, *args, **named).result()

    def close(self) -> None:
        for one in (*self._group, self._single):
            one.shutdown()


def _process(begin: Callable[[], None]) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=begin)


def _alone() -> None:
    import torch

    torch.set_num_threads(1)


def _join(store: Path, rank: int) -> None:
    from torch import distributed

    _alone()
    distributed.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=PATIENCE
    )
