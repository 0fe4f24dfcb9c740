"""The folder that everything of a run goes into."""

from __future__ import annotations

import os

from persona_ray.config import RunConfig
from persona_ray.errors import ConfigError


def check_workspace(config: RunConfig) -> None:
    """Raises ConfigError where it cannot be written to, before hours go into what would be written.
    Nothing is created."""
    workspace = config.workspace.absolute()
    # What is not there yet is made in the nearest folder that is.
    there = next(path for path in (workspace, *workspace.parents) if path.exists())
    if not there.is_dir():
        raise ConfigError(f"workspace '{config.workspace}': {there} is a file: name a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"workspace '{config.workspace}' cannot be written: {there} is read-only for this "
            "user: change its rights, or name another folder (--set workspace=FOLDER)"
        )
