"""One sweep under way: what is planned, what is known, and what trials tell."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from persona_ray.config.space import Values, short, shown
from persona_ray.config.sweep import Distribution
from persona_ray.files import write_whole
from persona_ray.launch.sweep.journal import Kept, SweepJournal
from persona_ray.launch.sweep.plan import SweepPlan, Trial
from persona_ray.launch.sweep.result import SweepResult
from persona_ray.launch.sweep.scores import Row, kept_figures, mean_score, ranked, row_of

if TYPE_CHECKING:
    from persona_ray.launch.tracking.tracker import Tracker
    from persona_ray.training.finetune.history import EpochResult, History

# What may change without making another sweep of it.
_MAY_CHANGE = {"samples", "max_concurrent", "cpus_per_trial"}


class SweepState:
    """`told` and `over` are called from the thread that runs trials, after `enough`."""

    def __init__(
        self,
        plan: SweepPlan,
        space: Mapping[str, Distribution],
        chosen: Sequence[Values] | None,
    ) -> None:
        """`chosen`: the combinations, None where they are chosen as the sweep goes."""
        self.plan, self.space = plan, space
        self.chooses = chosen is None
        config = plan.config
        parts = {
            "sweep": config.sweep.model_dump(mode="json", exclude=_MAY_CHANGE),
            "space": {path: values.model_dump(mode="json") for path, values in space.items()},
            "training": config.training.model_dump(mode="json"),
            "model": config.model.model_dump(mode="json"),
            "data": [plan.data, *plan.digests],
        }
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
        self.name = digest.hexdigest()[:16]
        self.folder = config.sweep_dir / self.name
        self.histories: dict[str, History] = {}
        # Called after each run that ends or is given up.
        self.on_run: Callable[[], None] = lambda: None
        self._journal = SweepJournal(config.sweep_dir / "runs")
        self._chosen_file = config.sweep_dir / f"chosen-{self.name}.json"
        self._trials: dict[str, Trial] = {}
        for values in self._chosen_before() if chosen is None else chosen:
            self._trials[shown(values)] = plan.trial(values)
        self._rows: dict[str, dict[int, EpochResult]] = {}
        self._found = 0
        self._tracker: Tracker | None = None

    @property
    def trials(self) -> list[Trial]:
        return list(self._trials.values())

    def forget(self) -> None:
        """Start over."""
        for trial in self.trials:
            for run in trial.runs:
                self._journal.forget(run.key)
        shutil.rmtree(self.folder, ignore_errors=True)
        self._chosen_file.unlink(missing_ok=True)
        if self.chooses:
            self._trials = {}

    def enough(self, tracker: Tracker) -> bool:
        """Read what is known, tell `tracker` of it, and whether nothing is left to train."""
        self._tracker = tracker
        for trial in self.trials:
            for run in trial.runs:
                kept = self._journal.read(run.key, self.name)
                if kept is not None:
                    self.histories[run.key] = kept.history
            if self.chooses and not self.is_over(trial):
                # Chosen by what was known then; now others may be.
                del self._trials[shown(trial.values)]
        self._found = len(self.histories)
        for trial in self.trials:
            self._tell_tracker(trial)
        wanted = self.plan.sweep.samples if self.chooses else len(self._trials)
        return len([trial for trial in self.trials if self.is_over(trial)]) >= wanted

    def is_over(self, trial: Trial) -> bool:
        """Whether all its runs have ended, or one was given up and with it the others."""
        known = [self.histories.get(run.key) for run in trial.runs]
        return None not in known or any(history and not history.ended for history in known)

    def row(self, trial: Trial) -> Row | None:
        return row_of(trial.values, trial.runs, self.histories, self.plan.sweep.metric)

    def told(self, values: Values, run: str, epochs: Sequence[EpochResult]) -> None:
        """Epochs of a run of the combination."""
        from persona_ray.training.finetune.loop import ended

        trial = self._trial(values)
        self._rows.setdefault(run, {}).update({epoch.epoch: epoch for epoch in epochs})
        if run in self.histories:
            return
        history = self._history(run)
        training = next(its.training for its in trial.runs if its.key == run)
        why = ended(history, training)
        if why is not None:
            self._keep(trial, run, Kept(replace(history, ended=why)))

    def over(self, values: Values) -> None:
        """The trial has ended by itself, or the scheduler gave it up."""
        trial = self._trial(values)
        if not self.is_over(trial):
            run = next(its.key for its in trial.runs if its.key not in self.histories)
            self._keep(trial, run, Kept(self._history(run), given_up_by=self.name))
            # Checkpoints of a large model; those of a run that has ended it removes itself.
            shutil.rmtree(self.folder / run, ignore_errors=True)

    def result(self) -> SweepResult:
        config, metric = self.plan.config, self.plan.sweep.metric
        rows = [row for row in map(self.row, self.trials) if row is not None]
        tree = config.model_dump(mode="json")
        configured = {}
        for path in self.space:
            node = tree
            for key in path.split("."):
                node = node[key]
            configured[path] = node
        return SweepResult(
            folder=config.sweep_dir,
            metric=metric,
            rows=ranked(rows, metric),
            configured=configured,
            trained=len(self.histories) - self._found,
            found=self._found,
            notes=self._notes(rows),
        )

    def _trial(self, values: Values) -> Trial:
        name = shown(values)
        if name not in self._trials:
            self._trials[name] = self.plan.trial(values)
            chosen = [dict(trial.values) for trial in self.trials]
            self._chosen_file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._chosen_file, json.dumps(chosen))
        return self._trials[name]

    def _chosen_before(self) -> list[Values]:
        try:
            rows: list[Values] = json.loads(self._chosen_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        return rows

    def _history(self, run: str) -> History:
        from persona_ray.training.finetune.history import History

        rows = self._rows.get(run, {})
        return History(tuple(rows[number] for number in sorted(rows)))

    def _keep(self, trial: Trial, run: str, kept: Kept) -> None:
        self.histories[run] = kept.history
        self._journal.write(run, kept)
        self.on_run()
        self._tell_tracker(trial)

    def _tell_tracker(self, trial: Trial) -> None:
        row = self.row(trial)
        if self._tracker is None or row is None or not self.is_over(trial):
            return
        parameters = {path: short(value) for path, value in trial.values.items()}
        histories = [self.histories.get(run.key) for run in trial.runs]
        points = _curve([history for history in histories if history is not None])
        points[-1] |= {"score": row.score, "whole": float(row.whole)}
        if row.spread is not None:
            points[-1]["spread"] = row.spread
        self._tracker.child(shown(trial.values), parameters, points)

    def _notes(self, rows: Sequence[Row]) -> list[str]:
        plan = self.plan
        clips = [clip for fold in plan.folds for clip in fold.held_out]
        customers = len({clip.customer_id for clip in clips})
        which = f"{len(plan.folds)} rotated folds" if plan.sweep.folds else "the dev split"
        notes = [
            f"Judged on {len(clips)} clips of {customers} customers ({which}). The best of "
            f"{len(rows)} is chosen by the figures it is shown with: expect less on others."
        ]
        if plan.sweep.folds and plan.config.pretraining.encoders:
            notes.append(
                "The folds hold out customers whom continued pretraining read: the encoders here "
                "are those of the model section, not the pretrained ones."
            )
        given_up = sum(not row.whole for row in rows)
        if given_up:
            notes.append(f"{given_up} combinations were given up early by the scheduler.")
        return notes


def _curve(histories: Sequence[History]) -> list[dict[str, float]]:
    """The mean over runs, epoch by epoch."""
    epochs = max(len(history.epochs) for history in histories)
    points: list[dict[str, float]] = []
    for at in range(epochs):
        there = [history.epochs[at] for history in histories if len(history.epochs) > at]
        dev = [kept_figures([epoch], "last") for epoch in there]
        figures = {f"dev_{name}": mean_score([row[name] for row in dev]) for name in dev[0]}
        points.append({"loss": mean_score([epoch.loss for epoch in there]), **figures})
    return points
