"""What trials share and only one process computes: vectors of frozen encoders, frozen epochs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from persona_ray.launch.sweep.plan import SweepPlan, SweepRun, encoder_key, prefix_key
from persona_ray.types import Example

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from persona_ray.progress import Progress
    from persona_ray.training.finetune.history import EpochResult, History
    from persona_ray.training.finetune.inputs import Vectors
    from persona_ray.training.finetune.run import Known, Start

# Clips that one task encodes; every task builds the encoders anew.
_CLIPS_PER_TASK = 512

# Waits for tasks and gives the result of each; told whom to call after each one.
Gather = Callable[[Sequence[Any], Callable[[], None]], Mapping[Any, Any]]


@dataclass(frozen=True, slots=True)
class Heard:
    """Vectors of clips by frozen encoders: row `at[clip_id]` of `speech` and `text`, None for a
    tower that is not there."""

    at: Mapping[str, int]
    speech: NDArray[np.float32] | None
    text: NDArray[np.float32] | None

    def of(self, examples: Sequence[Example]) -> Vectors:
        import torch

        from persona_ray.training.finetune.inputs import Vectors

        rows = [self.at[example.clip_id] for example in examples]
        parts = {"speech": self.speech, "text": self.text}
        found = {
            # Rows are copied: the object store is read-only.
            name: torch.from_numpy(part[rows])
            for name, part in parts.items()
            if part is not None
        }
        return Vectors(**found)


@dataclass(frozen=True, slots=True)
class Shared:
    """References into the object store: to `Heard` by `encoder_key`, and to what `fit` gave to
    `on_frozen` by `prefix_key`."""

    heard: Mapping[str, Any] = field(default_factory=dict)
    starts: Mapping[str, Any] = field(default_factory=dict)


class Sharing:
    """Computes, in tasks of the connected cluster, what runs have in common."""

    def __init__(self, plan: SweepPlan, gather: Gather, progress: Progress) -> None:
        import ray

        self._plan, self._gather, self._progress = plan, gather, progress
        self.plan = ray.put(plan)

    def share(self, runs: Sequence[SweepRun], at_a_time: int) -> Shared:
        heard = self._hear(runs, at_a_time)
        return Shared(heard, self._freeze(runs, heard))

    def _hear(self, runs: Sequence[SweepRun], at_a_time: int) -> dict[str, Any]:
        import ray

        groups = {encoder_key(run): run for run in runs if _needs_vectors(run)}
        clips = {key: self._clips([r for r in runs if encoder_key(r) == key]) for key in groups}
        task = self._task(_hear)
        asked: dict[Any, str] = {}
        for key, run in groups.items():
            size = min(_CLIPS_PER_TASK, math.ceil(len(clips[key]) / at_a_time))
            for first in range(0, len(clips[key]), size):
                asked[task.remote(self.plan, run, clips[key][first : first + size])] = key
        if not asked:
            return {}
        with self._progress.stage("sweep: encoders", total=len(asked)) as stage:
            parts = self._gather(list(asked), lambda: stage.advance(1))
        # In the order in which they were asked for.
        answers = {key: [parts[ref] for ref, its in asked.items() if its == key] for key in groups}
        return {key: ray.put(_joined(clips[key], answers[key])) for key in groups}

    def _freeze(self, runs: Sequence[SweepRun], heard: Mapping[str, Any]) -> dict[str, Any]:
        groups: dict[str, list[SweepRun]] = defaultdict(list)
        for run in runs:
            if run.training.frozen_epochs:
                groups[prefix_key(run, self._plan)].append(run)
        # Alone, a run makes its frozen epochs itself.
        common = {key: group for key, group in groups.items() if len(group) > 1}
        if not common:
            return {}
        task = self._task(_freeze)
        refs = {key: task.remote(self.plan, group, Shared(heard)) for key, group in common.items()}
        with self._progress.stage("sweep: frozen epochs", total=len(refs)) as stage:
            self._gather(list(refs.values()), lambda: stage.advance(1))
        return refs

    def _clips(self, runs: Sequence[SweepRun]) -> list[Example]:
        folds = [self._plan.folds[number] for number in sorted({run.fold for run in runs})]
        clips = [clip for fold in folds for clip in (*fold.train, *fold.held_out)]
        return list({clip.clip_id: clip for clip in clips}.values())

    def _task(self, function: Callable[..., Any]) -> Any:
        import ray

        return ray.remote(num_cpus=self._plan.sweep.cpus_per_trial)(function)


def known_of(plan: SweepPlan, run: SweepRun, shared: Shared) -> Known:
    """What `fit` of `run` need not compute, fetched from the object store."""
    import ray

    from persona_ray.training.finetune.prefix import start_for
    from persona_ray.training.finetune.run import Known

    heard, starts = shared.heard.get(encoder_key(run)), shared.starts.get(prefix_key(run, plan))
    fold = plan.folds[run.fold]
    vectors = None
    if heard is not None:
        found: Heard = ray.get(heard)
        vectors = (found.of(fold.train), found.of(fold.held_out))
    start = None if starts is None else start_for(ray.get(starts), run.training)
    return Known(vectors=vectors, cache=plan.vectors, start=start)


def fit_run(
    plan: SweepPlan,
    run: SweepRun,
    known: Known,
    on_epoch: Callable[[EpochResult], None],
    on_frozen: Callable[[int, Start], None] | None = None,
) -> History:
    """One run in this process, on processors."""
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.run import fit

    job = plan.job(run)
    context = PlainContext(device=_cpu())
    return fit(
        job.build_model(), job.train, job.dev, job.source, job.training, context, on_epoch,
        engine=job.engine, known=known, on_frozen=on_frozen,
    )  # fmt: skip


def use_threads(plan: SweepPlan) -> None:
    """As many as the trial is lent processors."""
    import torch

    torch.set_num_threads(max(1, int(plan.sweep.cpus_per_trial)))


def _needs_vectors(run: SweepRun) -> bool:
    training = run.training
    return bool(training.frozen_epochs or training.kept_frozen or run.model.speech.standardise)


def _hear(plan: SweepPlan, run: SweepRun, clips: Sequence[Example]) -> Vectors:
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.encode import Pass
    from persona_ray.training.finetune.inputs import LabelledClips
    from persona_ray.training.finetune.vectors import encoded

    use_threads(plan)
    items = LabelledClips(clips, plan.source, plan.job(run).build_model())
    context = PlainContext(device=_cpu())
    how = Pass.alone(run.training.micro_batch_s, context, run.engine)
    return encoded(items, how, plan.vectors)


def _joined(clips: Sequence[Example], parts: Sequence[Vectors]) -> Heard:
    import torch

    def rows(tower: str) -> NDArray[np.float32] | None:
        found = [getattr(part, tower) for part in parts]
        return None if found[0] is None else torch.cat(found).numpy()

    return Heard({clip.clip_id: at for at, clip in enumerate(clips)}, rows("speech"), rows("text"))


def _freeze(plan: SweepPlan, runs: Sequence[SweepRun], shared: Shared) -> dict[int, Start]:
    """The frozen epochs of all `runs`, up to the highest threshold."""
    from persona_ray.training.finetune.prefix import prefix_of

    use_threads(plan)
    prefix = replace(runs[0], training=prefix_of([run.training for run in runs]))
    starts: dict[int, Start] = {}
    fit_run(plan, prefix, known_of(plan, prefix, shared), lambda _: None, starts.__setitem__)
    return starts


def _cpu() -> torch.device:
    import torch

    return torch.device("cpu")
