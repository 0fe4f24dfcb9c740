"""How long each stage of a run took, kept in the workspace for the report."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.files import write_whole
from persona_ray.watch.process import watched

JOURNAL = "stages.json"
Figures = dict[str, float]


@contextmanager
def journalled(config: RunConfig, stage: str) -> Iterator[Figures]:
    """Note the wall time of `stage` under `wall_s`, beside the figures put into the yielded map.

    A stage that fails leaves no note; one that is done again replaces its note.
    """
    figures: Figures = {}
    started = time.perf_counter()
    with watched(config.watching, stage):
        yield figures
    figures["wall_s"] = round(time.perf_counter() - started, 2)
    notes = {name: old for name, old in read_journal(config).items() if name != stage}
    notes[stage] = figures
    path = _path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A kill while it is written must not cost the notes of the stages before.
    write_whole(path, json.dumps(notes, indent=1))


def read_journal(config: RunConfig) -> dict[str, Figures]:
    """Stages in the order in which they ended; empty where nothing has run."""
    try:
        notes: dict[str, Figures] = json.loads(_path(config).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        # A note of times is not worth a failed run.
        return {}
    return notes


def _path(config: RunConfig) -> Path:
    return config.workspace / JOURNAL
