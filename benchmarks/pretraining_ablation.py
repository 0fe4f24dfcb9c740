"""What continued pretraining is worth: fine-tuning after 0, some and all of its epochs.

    python -m benchmarks.pretraining_ablation --config configs/demo.yaml --out runs/ablation

Needs the corpus and the annotations of the configured workspace (`persona-ray corpus build`,
`annotate import`). Customers are rotated through folds; in each fold the small text and the small
speech encoder are pretrained on the clips of the other customers alone, labelled or not, for 0,
`--some` and all configured epochs, and text, speech and both are fine-tuned from what was left.
Everything is done again for every seed (weights, masks, order, dropout; the folds stay).

Every fold and seed is one process with one thread; answers are kept in `--out`, so that a killed
run goes on. Accuracies are means over seeds, with the standard deviation over seeds; the last
column compares with no pretraining on the same customers, clips paired by seed (bootstrap over
customers, 95 %).
"""

from __future__ import annotations

import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.shared import (
    arguments,
    as_row,
    finish_jobs,
    keep_rows,
    paired_gain,
    pretrained,
    pretraining_task,
    right,
    spread,
)
from persona_ray.config import RunConfig, load_config
from persona_ray.launch.encoders import TOWERS, Tower
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.types import ClipInfo

STAGES = ("none", "some", "all")


@dataclass(frozen=True, slots=True)
class Job:
    """One fold with one seed."""

    config: RunConfig
    fold: int
    folds: int
    seed: int
    some: float
    towers: tuple[Tower, ...]

    @property
    def name(self) -> str:
        return f"fold-{self.fold}-of-{self.folds}-seed-{self.seed}.json"


def run_job(job: Job, out: Path) -> float:
    """Pretrain, fine-tune, answer; seconds that it took."""
    import torch

    from persona_ray.config.learning import EvaluationConfig
    from persona_ray.evaluation.compare import fit_and_predict, plan_folds
    from persona_ray.launch.labelled import open_labelled

    torch.set_num_threads(1)
    started = time.perf_counter()
    config = _seeded(job.config, job.seed)
    data = open_labelled(config)
    rotation = EvaluationConfig(folds=job.folds, sentence_split=False)
    fits = [
        fold
        for fold in plan_folds(data.examples, rotation, config.splits.salt)
        if fold.number == job.fold
    ]
    unheard = {example.customer_id for example in fits[0].held_out}
    learned_from = [info for info in data.dataset.infos() if info.customer_id not in unheard]
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folders = {
            tower: _by_stage(config, tower, learned_from, data.dataset, job.some, Path(scratch))
            for tower in job.towers
        }
        for stage in STAGES:
            model = config.model
            for tower, by_stage in folders.items():
                part = getattr(model, tower).model_copy(update={"path": str(by_stage[stage])})
                model = model.model_copy(update={tower: part})
            for fold in fits:
                if not _towers_of(fold.arm.modality) <= set(job.towers):
                    continue
                answers, history = fit_and_predict(
                    fold, model, config.training, config.annotation.labels, data.dataset
                )
                rows.append(
                    {
                        "stage": stage,
                        "modality": str(fold.arm.modality),
                        "loss": history.last.loss,
                        "answers": [as_row(answer) for answer in answers],
                    }
                )
    keep_rows(rows, out / job.name)
    return time.perf_counter() - started


def _by_stage(
    config: RunConfig,
    tower: Tower,
    infos: Sequence[ClipInfo],
    dataset: CorpusDataset,
    some: float,
    scratch: Path,
) -> Mapping[str, Path]:
    """Folders of encoders; the run for `some` of the epochs has the whole schedule of the rate."""
    from persona_ray.training.pretrain.settings import PretrainSettings

    section = getattr(config.pretraining, tower)
    task = pretraining_task(config, tower, infos, dataset)
    checkpoints = scratch / f"{tower}-checkpoints"
    epochs = {"none": 0, "some": max(1, round(some * section.epochs)), "all": section.epochs}
    folders = {}
    for stage in STAGES:
        if epochs[stage]:
            settings = PretrainSettings.of(section.model_copy(update={"epochs": epochs[stage]}))
            pretrained(
                task, settings, config.engine, checkpoints / stage, scratch / f"{tower}-{stage}"
            )
        else:
            task.save(task.build(), scratch / f"{tower}-{stage}")
        folders[stage] = scratch / f"{tower}-{stage}"
    shutil.rmtree(checkpoints, ignore_errors=True)
    return folders


def _seeded(config: RunConfig, seed: int) -> RunConfig:
    """Small encoders, in this process, everything drawn from `seed`."""
    speech = config.model.speech.model_copy(update={"path": ""})
    text = config.model.text.model_copy(update={"path": ""})
    pretraining = config.pretraining.model_copy(
        update={
            "text": config.pretraining.text.model_copy(update={"seed": seed}),
            "speech": config.pretraining.speech.model_copy(update={"seed": seed}),
        }
    )
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"speech": speech, "text": text}),
            "pretraining": pretraining,
            "training": config.training.model_copy(update={"seed": seed}),
            "launch": config.launch.model_copy(update={"backend": "plain"}),
        }
    )


def _towers_of(modality: Modality) -> set[str]:
    return {"speech", "text"} if modality is Modality.BOTH else {modality.value}


def table(jobs: Sequence[Job], out: Path, labels: Sequence[str]) -> Iterator[str]:
    """Lines for people."""
    from persona_ray.evaluation.scores import Prediction, by_customer

    customers: dict[tuple[str, str], dict[int, dict[str, bool]]] = {}
    clips: dict[tuple[str, str], dict[int, list[bool]]] = {}
    for job in jobs:
        for row in json.loads((out / job.name).read_text(encoding="utf-8")):
            key = (row["modality"], row["stage"])
            answers = [Prediction(*answer) for answer in row["answers"]]
            mine = customers.setdefault(key, {}).setdefault(job.seed, {})
            mine |= {c.customer_id: right(c) for c in by_customer(answers, labels)}
            clips.setdefault(key, {}).setdefault(job.seed, []).extend(map(right, answers))
    yield f"{'':8}{'pretraining':12}{'customers':>18}{'clips':>18}   customers against none"
    for modality in ("text", "speech", "both"):
        for stage in STAGES:
            key = (modality, stage)
            if key not in customers:
                continue
            of_customers = spread(
                [statistics.mean(one.values()) for one in customers[key].values()]
            )
            of_clips = spread([statistics.mean(one) for one in clips[key].values()])
            gain = ""
            if stage != "none":
                gain = paired_gain(customers[modality, "none"], customers[key])
            yield f"{modality:8}{stage:12}{of_customers:>18}{of_clips:>18}   {gain}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--some", type=float, default=0.25, help="share of the epochs")
    parser.add_argument("--towers", nargs="+", choices=TOWERS, default=TOWERS)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
    if "speech" in chosen.towers and len(config.pretraining.speech.iterations) != 1:
        sys.exit("error: the ablation runs one iteration: name one in pretraining.speech")
    chosen.out.mkdir(parents=True, exist_ok=True)
    jobs = [
        Job(config, fold, chosen.folds, seed, chosen.some, tuple(chosen.towers))
        for seed in range(chosen.seeds)
        for fold in range(chosen.folds)
    ]
    finish_jobs(run_job, jobs, chosen.out, chosen.processes)
    print(*table(jobs, chosen.out, config.annotation.labels), sep="\n")


if __name__ == "__main__":
    main()
