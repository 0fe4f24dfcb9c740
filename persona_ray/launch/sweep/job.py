"""Many fine-tunings of one corpus, to find the values of a few settings."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

from persona_ray.config import RunConfig
from persona_ray.config.space import check_combinations, combinations, corners, space_of
from persona_ray.errors import ConfigError
from persona_ray.launch.labelled import open_labelled
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.sweep.plan import plan_sweep, with_folders
from persona_ray.launch.sweep.result import SweepResult, best_config, write_results
from persona_ray.launch.sweep.state import SweepState
from persona_ray.launch.sweep.tune import check_search
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.launch.watching import counted
from persona_ray.launch.workers.stopping import stop_on_signal
from persona_ray.launch.workspace import check_workspace
from persona_ray.progress import Progress
from persona_ray.watch.process import watched

STAGE = "sweep"


@copied("sweep", needs=("corpus", "encoders"))
def sweep(
    config: RunConfig, progress: Progress, fresh: bool = False, final: bool = False
) -> SweepResult:
    """Train the combinations of `config.sweep` and write their table, page and the best
    configuration to `config.sweep_dir`; with `final`, fine-tune with the best and write its bundle.

    A sweep that was killed goes on: runs that have ended are not trained again, unless `fresh`.
    Raises ConfigError, CorpusError, AnnotationError, LeakageError, ModelError, TrainingError,
    TrackingError.
    """
    from persona_ray.training.finetune.vectors import VectorCache

    if config.launch.backend != "ray":
        raise ConfigError("a sweep runs its trials on Ray: --set launch.backend=ray")
    check_search(config.sweep)
    space = with_folders(space_of(config.sweep, config.training))
    chosen = None if config.sweep.search == "optuna" else combinations(space, config.sweep)
    check_combinations(config, corners(space) if chosen is None else chosen)
    check_workspace(config)
    check_tracking(config)
    data = open_labelled(config)
    plan = plan_sweep(config, list(space), data, VectorCache(config.vectors_dir.absolute()))
    state = SweepState(plan, space, chosen)
    if fresh:
        state.forget()
    with (
        watched(config.watching, STAGE),
        counted(config, STAGE, progress) as job,
        tracked(
            config,
            STAGE,
            state.folder,
            {"sweep": config.sweep, "training": config.training, "model": plan.config.model},
            {"data": data.dataset.fingerprint, "labels": data.labels_fingerprint},
        ) as tracker,
    ):
        tree = {path: values.model_dump(mode="json") for path, values in space.items()}
        tracker.text("space.json", json.dumps(tree, indent=1))
        if not state.enough(tracker):
            from persona_ray.launch.sweep.run import run_sweep

            with stop_on_signal("what has ended is kept") as stop:
                run_sweep(state, job, stop)
        result = state.result()
        for name, text in write_results(config, result, list(space)).items():
            tracker.text(name, text)
        tracker.metrics(1, {"best_score": result.best.score, **result.best.figures})
    # A rerun finds what it needs in the journal.
    shutil.rmtree(state.folder, ignore_errors=True)
    if not final:
        return result
    from persona_ray.launch.finetune import finetune

    best = best_config(config, result.best.values)
    return replace(result, final=finetune(best, progress, parent=tracker.run_id))
