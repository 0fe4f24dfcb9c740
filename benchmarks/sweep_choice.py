"""What the best of a sweep is worth on customers whom the sweep never saw.

    persona-ray sweep --config configs/demo.yaml
    python -m benchmarks.sweep_choice --config configs/demo.yaml

Fine-tunes with the values of `sweep/best.yaml`, with those of the configuration, and with the
source design's freeze threshold 5 and decay rate 0.95, for seeds that the sweep did not use, and
lets all answer for the dev split, on which the sweep chose, and for the test split. Every training
is one process with one thread; answers are kept in `--out`, so that a killed run goes on. Figures
are means over seeds with their standard deviation; gains are over the source's values on the same
clips, with 95 % intervals by resampling customers.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.shared import (
    arguments,
    as_row,
    finish_jobs,
    keep_rows,
    mean_over_groups,
    right,
    spread,
)
from persona_ray.config import RunConfig, load_config
from persona_ray.config.space import DECAY, THRESHOLD, shown, space_of, with_values

SOURCE = {THRESHOLD: 5, DECAY: 0.95}
SPLITS = ("dev", "test")


@dataclass(frozen=True, slots=True)
class Job:
    """One training."""

    config: RunConfig
    values: tuple[tuple[str, Any], ...]
    seed: int

    @property
    def name(self) -> str:
        chosen = "-".join(str(value) for _, value in self.values)
        return f"{chosen.replace('/', '_')}-seed-{self.seed}.json"


def run_job(job: Job, out: Path) -> float:
    """Train, answer; seconds that it took."""
    import torch

    from persona_ray.evaluation.scores import Prediction
    from persona_ray.launch.encoders import pretrained
    from persona_ray.launch.labelled import open_labelled
    from persona_ray.models.build import build_model
    from persona_ray.training.context import PlainContext
    from persona_ray.training.finetune.encode import Pass
    from persona_ray.training.finetune.inputs import LabelledClips
    from persona_ray.training.finetune.predict import predict_as_is
    from persona_ray.training.finetune.run import Known, fit
    from persona_ray.training.finetune.vectors import VectorCache
    from persona_ray.types import Split

    torch.set_num_threads(1)
    started = time.perf_counter()
    config: RunConfig = with_values(job.config, dict(job.values))
    training = config.training.model_copy(update={"seed": job.seed})
    data, labels = open_labelled(config), config.annotation.labels
    train, context = data.of(Split.TRAIN), PlainContext()
    model = build_model(
        pretrained(config).model,
        labels,
        [example.text for example in train],
        data.dataset.sample_rate_hz,
        job.seed,
    )
    known = Known(cache=VectorCache(config.vectors_dir.absolute()))
    history = fit(model, train, (), data.dataset, training, context, known=known)
    rows: list[dict[str, Any]] = []
    for split in SPLITS:
        judged = data.of(Split(split))
        clips = LabelledClips(judged, data.dataset, model)
        answers = predict_as_is(clips, Pass.alone(training.micro_batch_s, context))
        for example, found in zip(judged, answers, strict=True):
            probabilities = dict(zip(labels, found.tolist(), strict=True))
            answer = Prediction(example.clip_id, example.customer_id, example.label, probabilities)
            rows.append({"split": split, "answer": as_row(answer)})
    rows.append({"split": "train", "loss": history.last.loss})
    keep_rows(rows, out / job.name)
    return time.perf_counter() - started


def table(jobs: Sequence[Job], out: Path, labels: Sequence[str]) -> Iterator[str]:
    """Lines for people."""
    from persona_ray.evaluation.scores import Prediction, by_customer

    answers: dict[tuple[tuple[str, Any], ...], dict[str, list[list[Prediction]]]] = {}
    for job in jobs:
        rows = json.loads((out / job.name).read_text(encoding="utf-8"))
        for split in SPLITS:
            mine = [Prediction(*row["answer"]) for row in rows if row["split"] == split]
            answers.setdefault(job.values, {}).setdefault(split, []).append(mine)
    source = tuple(SOURCE.items())
    for split in SPLITS:
        first = answers[source][split][0]
        customers = len({answer.customer_id for answer in first})
        yield f"{split}: {len(first)} clips of {customers} customers"
        yield f"  {'':58}{'loss':>14}{'clips':>16}{'customers':>16}   clips against the source's"
        for values, found in answers.items():
            runs = found[split]
            losses = [statistics.mean(map(_loss, run)) for run in runs]
            deviation = statistics.stdev(losses) if len(losses) > 1 else 0.0
            clips = spread([statistics.mean(map(right, run)) for run in runs])
            whole = spread([statistics.mean(map(right, by_customer(run, labels))) for run in runs])
            gain = "" if values == source else _gain(answers[source][split], runs)
            loss = f"{statistics.mean(losses):.3f} ± {deviation:.3f}"
            yield f"  {shown(dict(values)):58}{loss:>14}{clips:>16}{whole:>16}   {gain}"


def _loss(answer: Any) -> float:
    return -math.log(max(answer.probabilities[answer.label], 1e-12))


def _gain(before: Sequence[Sequence[Any]], after: Sequence[Sequence[Any]]) -> str:
    """In the share of clips told right, by customer the mean over seeds."""
    by_clip: dict[tuple[str, str], list[float]] = {}
    for sign, runs in ((-1.0, before), (1.0, after)):
        for run in runs:
            for answer in run:
                place = (answer.customer_id, answer.clip_id)
                by_clip.setdefault(place, []).append(sign * right(answer) / len(runs))
    groups: dict[str, list[float]] = {}
    for (customer, _), parts in by_clip.items():
        groups.setdefault(customer, []).append(math.fsum(parts))
    return mean_over_groups(list(groups.values()))


def _arms(config: RunConfig, best: Path) -> list[tuple[tuple[str, Any], ...]]:
    paths = list(space_of(config.sweep, config.training))

    def values(tree: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
        found = []
        for path in paths:
            node: Any = tree
            for key in path.split("."):
                node = node[key]
            found.append((path, node))
        return tuple(found)

    named = [load_config(best), config, with_values(config, SOURCE)]
    return list(dict.fromkeys(values(its.model_dump(mode="json")) for its in reversed(named)))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/sweep-choice"))
    parser.add_argument("--best", type=Path, help="default: sweep/best.yaml of the workspace")
    parser.add_argument("--seeds", type=int, default=5, help="from 101 on")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
    chosen.out.mkdir(parents=True, exist_ok=True)
    arms = _arms(config, chosen.best or config.sweep_dir / "best.yaml")
    jobs = [Job(config, arm, 101 + seed) for seed in range(chosen.seeds) for arm in arms]
    finish_jobs(run_job, jobs, chosen.out, chosen.processes)
    print(*table(jobs, chosen.out, config.annotation.labels), sep="\n")


if __name__ == "__main__":
    main()
