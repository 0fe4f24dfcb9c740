"""A sweep that lasts long enough to be killed: `python -m tests.drills.slow_sweep WORKSPACE KIND`.

Leaves outcome.json beside WORKSPACE.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from persona_ray.config import RunConfig
from persona_ray.types import Split
from tests.unit.training.toys import LABELS, Tones, examples, model_config, training_config

if TYPE_CHECKING:
    from persona_ray.types import Samples

CLIP_S = 0.02
# What the kinds differ in: the sweep's section and where trials run.
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "small": {"launch": {}, "sweep": {}},
    "asha": {"launch": {}, "sweep": {"scheduler": "asha", "grace_epochs": 1, "reduction": 2}},
    # Each trial drives two workers of Ray Train; there is room for two trials.
    "large": {
        "launch": {"workers": 2, "cpus_per_worker": 1, "max_failures": 0},
        "sweep": {"max_concurrent": 2},
    },
    "large asha": {
        "launch": {"workers": 2, "cpus_per_worker": 1, "max_failures": 0},
        "sweep": {"scheduler": "asha", "grace_epochs": 1, "reduction": 2, "max_concurrent": 1},
    },
}
RATES = [0.05, 1e-9, 1e-8]


@dataclass(frozen=True)
class SlowTones(Tones):
    """Each clip takes `CLIP_S`, once encoders are trained."""

    fingerprint: str = "toys"

    def samples(self, clip_id: str) -> Samples:
        time.sleep(CLIP_S)
        return super().samples(clip_id)


def config(workspace: Path, kind: str) -> RunConfig:
    tree = RunConfig(workspace=workspace).model_dump(mode="json")
    tree["model"] = model_config(dropout=0.0).model_dump(mode="json")
    tree["training"] = training_config(4, 1).model_dump(mode="json")
    tree["tracking"]["url"] = "off"
    tree["annotation"]["labels"] = list(LABELS)
    rates = {"training.learning_rate": {"grid": RATES}}
    decays = {"training.decay_rate": {"grid": [0.9, 1.0]}}
    tree["launch"] |= KINDS[kind]["launch"]
    tree["sweep"] |= {"space": rates if "large" in kind else {**rates, **decays}}
    tree["sweep"] |= KINDS[kind]["sweep"]
    return RunConfig.model_validate(tree)


def main() -> None:
    from persona_ray.launch.sweep import job as command
    from persona_ray.progress import RichProgress

    workspace, kind = Path(sys.argv[1]), sys.argv[2]
    train, dev = tuple(examples(24)), tuple(examples(9, Split.DEV, first=24))
    parts = {Split.TRAIN: train, Split.DEV: dev}
    data = SimpleNamespace(dataset=SlowTones(), labels_fingerprint="", of=parts.__getitem__)
    setattr(command, "open_labelled", lambda _: data)  # noqa: B010 - a stand-in
    result = command.sweep(config(workspace, kind), RichProgress())
    rows = [[dict(row.values), row.score, row.epochs, row.whole] for row in result.rows]
    outcome = {"rows": rows, "trained": result.trained, "found": result.found}
    (workspace.parent / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    from persona_ray.cli import run_entry

    run_entry(main)
