"""Results of a sweep's runs, kept one by one: what is there is not trained again.

    <folder>/<key>.json    a run's epochs, written once it has ended or was given up

A run is known by all that its result depends on (`SweepRun.key`), so that a larger space, more
seeds or another search find in it what sweeps before them trained.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.files import write_whole

if TYPE_CHECKING:
    from persona_ray.training.finetune.history import History


@dataclass(frozen=True, slots=True)
class Kept:
    """`given_up_by`: the sweep whose scheduler ended the run before its time; empty: it ended."""

    history: History
    given_up_by: str = ""


@dataclass(frozen=True, slots=True)
class SweepJournal:
    folder: Path

    def read(self, key: str, sweep: str) -> Kept | None:
        """What is known of a run. One that another sweep than `sweep` gave up is not."""
        from persona_ray.training.finetune.history import History

        file = self._file(key)
        try:
            tree = json.loads(file.read_text(encoding="utf-8"))
            kept = Kept(History.from_json(tree["history"]), tree["given_up_by"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            logging.getLogger(__name__).warning("%s is passed over: %s", file, repr(error))
            return None
        return kept if kept.given_up_by in ("", sweep) else None

    def write(self, key: str, kept: Kept) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        tree = {"given_up_by": kept.given_up_by, "history": kept.history.as_json()}
        write_whole(self._file(key), json.dumps(tree))

    def forget(self, key: str) -> None:
        self._file(key).unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.json"
