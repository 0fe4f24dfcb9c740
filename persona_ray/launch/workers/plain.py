"""Training in this process, without Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import ConfigError


@contextmanager
def in_this_process(launch: LaunchConfig) -> Iterator[None]:
    """For training without a launcher; raises ConfigError where more than one worker is wanted."""
    if launch.workers > 1:
        raise ConfigError(
            f"launch.workers {launch.workers} needs launch.backend ray: plain is one process"
        )
    with threads(launch):
        yield


@contextmanager
def threads(launch: LaunchConfig) -> Iterator[None]:
    """As many threads as a Ray worker is lent processors: sums are then taken in the same order."""
    with torch_threads(max(1, int(launch.cpus_per_worker))):
        yield


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many within the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
