"""The folder of a demo: what was made once stays in it, what calls leave is emptied."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from persona_ray.errors import ConfigError
from persona_ray.files import write_whole

# A demo's own folder holds it; what models were made of stands in it.
MARK = "demo.json"


def begin_anew(out: Path, emptied: Iterable[str] = ()) -> None:
    """An empty store in `out`, and none of the folders `emptied`. Raises ConfigError where `out`
    holds something else."""
    if out.is_dir() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ConfigError(
            f"{out} is no folder of this demo, which empties its store: name another one, --out"
        )
    out.mkdir(parents=True, exist_ok=True)
    if not (out / MARK).is_file():
        write_whole(out / MARK, "{}")
    for file in out.glob("store.sqlite*"):
        file.unlink()
    for folder in emptied:
        shutil.rmtree(out / folder, ignore_errors=True)
