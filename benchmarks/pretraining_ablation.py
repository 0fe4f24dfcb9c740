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

import argparse
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from persona_ray.config import RunConfig, load_config
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.config.pretraining import EngineConfig
    from persona_ray.objectives.base import PretrainingTask
    from persona_ray.training.pretrain.curve import Curve
    from persona_ray.training.pretrain.settings import PretrainSettings


class Named(Protocol):
    """A job whose answers are kept under a name."""

    @property
    def name(self) -> str: ...


NamedT = TypeVar("NamedT", bound=Named)

STAGES = ("none", "some", "all")
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Job:
    """One fold with one seed."""

    config: RunConfig
    fold: int
    folds: int
    seed: int
    some: float
    towers: tuple[str, ...]

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
            tower: _pretrained(config, tower, learned_from, data.dataset, job.some, Path(scratch))
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
                        "answers": [
                            [a.clip_id, a.customer_id, a.label, a.probabilities] for a in answers
                        ],
                    }
                )
    part_file = out / f"{job.name}.part"
    part_file.write_text(json.dumps(rows), encoding="utf-8")
    part_file.replace(out / job.name)
    return time.perf_counter() - started


def _pretrained(config, tower, infos, dataset, some, scratch) -> Mapping[str, Path]:  # type: ignore[no-untyped-def]
    """Folders by stage; the run for `some` epochs has the whole schedule of the rate."""
    from persona_ray.training.pretrain.settings import PretrainSettings

    section = getattr(config.pretraining, tower)
    task = _text_task(config, infos) if tower == "text" else _speech_task(config, infos, dataset)
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


def pretrained(
    task: PretrainingTask,
    settings: PretrainSettings,
    engine: EngineConfig,
    checkpoints: Path,
    folder: Path,
) -> Curve:
    """Pretrain in this process, save to `folder`; the curve."""
    from persona_ray.training.checkpoint import load_trained
    from persona_ray.training.pretrain.context import PlainPretrainContext
    from persona_ray.training.pretrain.run import pretrain

    context = PlainPretrainContext(checkpoints)
    curve = pretrain(task, settings, engine, context, lambda _point: None)
    left = context.restore()
    assert left is not None
    module = task.build()
    load_trained(left, module)
    task.save(module, folder)
    return curve


def _text_task(config, infos):  # type: ignore[no-untyped-def]
    from persona_ray.corpus.texts import Dialogues
    from persona_ray.objectives.text_task import text_tasks

    files = config.pretraining.text.files
    (named,) = text_tasks(config, Dialogues(files, lambda: infos))
    return named.task


def _speech_task(config, infos, dataset):  # type: ignore[no-untyped-def]
    from persona_ray.launch.units import prepare_units
    from persona_ray.objectives.speech_task import speech_task
    from persona_ray.progress import SilentProgress

    if len(config.pretraining.speech.iterations) != 1:
        sys.exit("error: the ablation runs one iteration: name one in pretraining.speech")
    units = prepare_units(config, 0, "", infos, dataset, dataset.fingerprint, SilentProgress())
    return speech_task(config, 0, "", infos, dataset, units)


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

    right: dict[tuple[str, str], dict[int, dict[str, bool]]] = {}
    clips: dict[tuple[str, str], dict[int, list[bool]]] = {}
    for job in jobs:
        for row in json.loads((out / job.name).read_text(encoding="utf-8")):
            key = (row["modality"], row["stage"])
            answers = [Prediction(*answer) for answer in row["answers"]]
            mine = right.setdefault(key, {}).setdefault(job.seed, {})
            for customer in by_customer(answers, labels):
                best = max(customer.probabilities, key=lambda name: customer.probabilities[name])
                mine[customer.customer_id] = best == customer.label
            found = clips.setdefault(key, {}).setdefault(job.seed, [])
            found += [
                max(a.probabilities, key=lambda name: a.probabilities[name]) == a.label
                for a in answers
            ]
    yield f"{'':8}{'pretraining':12}{'customers':>18}{'clips':>18}   customers against none"
    for modality in ("text", "speech", "both"):
        for stage in STAGES:
            if (modality, stage) not in right:
                continue
            by_seed = [
                100 * statistics.mean(seed.values()) for seed in right[modality, stage].values()
            ]
            clip_seeds = [100 * statistics.mean(seed) for seed in clips[modality, stage].values()]
            gain = ""
            if stage != "none":
                gain = paired_gain(right[modality, "none"], right[modality, stage])
            yield f"{modality:8}{stage:12}{spread(by_seed):>18}{spread(clip_seeds):>18}   {gain}"


def spread(values: Sequence[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} +- {deviation:.1f} %"


def paired_gain(
    before: Mapping[int, Mapping[str, bool]], after: Mapping[int, Mapping[str, bool]]
) -> str:
    """Mean gain in points, and its bootstrap interval over customers."""
    customers = sorted(next(iter(before.values())))
    gains = np.array(
        [
            statistics.mean(float(after[s][who]) - float(before[s][who]) for s in before)
            for who in customers
        ]
    )
    rng = np.random.default_rng(0)
    means = rng.choice(gains, (RESAMPLES, len(gains))).mean(axis=1)
    low, high = np.percentile(100 * means, [2.5, 97.5])
    return f"{100 * gains.mean():+.1f} points ({low:+.1f} to {high:+.1f})"


def finish_jobs(
    run: Callable[[NamedT, Path], float], jobs: Sequence[NamedT], out: Path, processes: int
) -> None:
    """Run those whose answers are not in `out` yet, each in a process; progress to stderr."""
    pending = [job for job in jobs if not (out / job.name).is_file()]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        running = {pool.submit(run, job, out): job for job in pending}
        for done in as_completed(running):
            print(f"{running[done].name}: {done.result():.0f} s", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--some", type=float, default=0.25, help="share of the epochs")
    parser.add_argument("--towers", nargs="+", default=["text", "speech"])
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
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
