"""What several benchmarks share: arguments, jobs that outlive a kill, pretraining, answers."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np

from persona_ray.config import RunConfig
from persona_ray.evaluation.scores import CustomerPrediction, Prediction

if TYPE_CHECKING:
    from persona_ray.config.engine import EngineConfig
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.launch.workers.job import TrainingJob
    from persona_ray.objectives.base import PretrainingTask
    from persona_ray.training.pretrain.curve import Curve
    from persona_ray.training.pretrain.settings import PretrainSettings
    from persona_ray.types import ClipInfo, Example

RESAMPLES = 2000


def described(doc: str | None) -> argparse.ArgumentParser:
    """`--help` shows `doc`, the benchmark's."""
    return argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """With the configuration as `persona-ray` takes it."""
    parser = described(doc)
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", dest="overrides")
    return parser


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, as the documents have it."""
    lines = [f"| {' | '.join(cells)} |" for cells in (heads, *rows)]
    return "\n".join([lines[0], "|---" * len(heads) + "|", *lines[1:]])


class Named(Protocol):
    """A job whose answers are kept under a name."""

    @property
    def name(self) -> str: ...


JobT = TypeVar("JobT", bound=Named)


def finish_jobs(
    run: Callable[[JobT, Path], float], jobs: Sequence[JobT], out: Path, processes: int
) -> None:
    """Run those whose answers are not in `out` yet, each in a process; progress to stderr.

    `run` keeps them with `keep_rows` as `out / job.name` and returns the seconds that it took.
    """
    pending = [job for job in jobs if not (out / job.name).is_file()]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        running = {pool.submit(run, job, out): job for job in pending}
        for done in as_completed(running):
            print(f"{running[done].name}: {done.result():.0f} s", file=sys.stderr, flush=True)


def keep_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Whole or not at all."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(rows), encoding="utf-8")
    part.replace(path)


def pretraining_task(
    config: RunConfig,
    tower: Literal["speech", "text"],
    infos: Sequence[ClipInfo],
    dataset: CorpusDataset,
) -> PretrainingTask:
    """Of the clips `infos`, from the encoder that the model section names; of speech the first
    iteration, of text the last run (a checkpoint without a head has one before)."""
    if tower == "speech":
        from persona_ray.launch.units import prepare_units
        from persona_ray.objectives.speech_task import speech_task
        from persona_ray.progress import SilentProgress

        path = config.model.speech.path
        units = prepare_units(
            config, 0, path, infos, dataset, dataset.fingerprint, SilentProgress()
        )
        return speech_task(config, 0, path, infos, dataset, units)
    from persona_ray.corpus.texts import Dialogues
    from persona_ray.objectives.text_runs import text_tasks

    return text_tasks(config, Dialogues(config.pretraining.text.files, lambda: infos))[-1].task


def labelled_job(config: RunConfig) -> tuple[TrainingJob, tuple[Example, ...]]:
    """Fine-tuning on the labelled clips of the workspace, from the encoders that the model section
    names, none of which has read the archive; and the clips of the test split."""
    from persona_ray.launch.encoders import unpretrained
    from persona_ray.launch.labelled import open_labelled
    from persona_ray.launch.workers.job import TrainingJob
    from persona_ray.types import Split

    data = open_labelled(config)
    job = TrainingJob(
        model=unpretrained(config).model,
        training=config.training,
        labels=config.annotation.labels,
        train=data.of(Split.TRAIN),
        dev=data.of(Split.DEV),
        source=data.dataset,
        engine=config.engine,
    )
    return job, data.of(Split.TEST)


def pretrained(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    checkpoints: Path,
    folder: Path,
) -> Curve:
    """Pretrain in this process, save to `folder`; the curve."""
    from persona_ray.training.checkpoint import load_trained
    from persona_ray.training.context import PlainContext
    from persona_ray.training.pretrain.run import pretrain

    context = PlainContext(checkpoints)
    curve = pretrain(task, settings, engine, context, lambda _point: None)
    left = context.restore()
    assert left is not None
    module = task.build()
    load_trained(left, module)
    task.save(module, folder)
    return curve


def as_row(answer: Prediction) -> list[Any]:
    """For JSON; `Prediction(*row)` is the way back."""
    return [answer.clip_id, answer.customer_id, answer.label, answer.probabilities]


def right(answer: Prediction | CustomerPrediction) -> bool:
    """Whether the most probable label is the true one."""
    return max(answer.probabilities, key=answer.probabilities.__getitem__) == answer.label


def spread(shares: Sequence[float]) -> str:
    """Mean and standard deviation, those of seeds."""
    deviation = statistics.stdev(shares) if len(shares) > 1 else 0.0
    return f"{100 * statistics.mean(shares):.1f} ± {100 * deviation:.1f} %"


def middle_half(values: Sequence[float]) -> tuple[float, float, float]:
    """Of rounds: the lower end of the middle half, the median, the upper end."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    return ordered[quarter], statistics.median(ordered), ordered[-1 - quarter]


def mean_over_groups(groups: Sequence[Sequence[float]]) -> str:
    """The mean of all, with its 95 % interval by resampling groups (people, recordings)."""
    sums = np.array([sum(group) for group in groups])
    counts = np.array([len(group) for group in groups])
    drawn = np.random.default_rng(0).integers(len(groups), size=(RESAMPLES, len(groups)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{sums.sum() / counts.sum():6.1%} ({low:6.1%} to {high:6.1%})"


def paired_gain(
    before: Mapping[int, Mapping[str, bool]], after: Mapping[int, Mapping[str, bool]]
) -> str:
    """By seed and by what was judged, right or not: the mean gain in points, and its 95 % interval
    by resampling what was judged."""
    judged = sorted(next(iter(before.values())))
    gains = np.array(
        [statistics.mean(float(after[s][name]) - float(before[s][name]) for s in before)
         for name in judged]
    )  # fmt: skip
    rng = np.random.default_rng(0)
    means = rng.choice(gains, (RESAMPLES, len(gains))).mean(axis=1)
    low, high = np.percentile(100 * means, [2.5, 97.5])
    return f"{100 * gains.mean():+.1f} points ({low:+.1f} to {high:+.1f})"
