"""This product's fine-tuning against Hugging Face `Trainer`: time, memory, metrics.

    python -m benchmarks.finetune_against_trainer --config configs/demo.yaml

The same bimodal model, labelled clips, epochs, precision, Adam, rates, clips an update and judging
of the dev split after each epoch, on the corpus of the configuration's workspace (`persona-ray
corpus build` and `annotate import` make it; encoders are those of the model section, without
continued pretraining). Needs `accelerate`, which the product does not.

    product, cold   nothing is known of the clips
    product, warm   the vectors that the cold run kept
    Trainer         its best settings: benchmarks/trainer_peer.py

A run is a process of its own. Runs take turns, in an order that turns round; each round has a seed
of its own, and its ratios are within the round. `seconds` are those of training, judging and
checkpoints, from a model that is built to one that is trained; `processor` seconds of all threads
depend less on what else the machine does; `process` is the whole process.

`--unfrozen` trains the encoders from the first epoch: what is left is the loop's doing.
`--sweep` compares `persona-ray sweep` over 12 combinations (4 thresholds x 3 decay rates), the
start of its cluster included, with 12 Trainer runs; on both sides as many at a time as
`--processes` says, one thread each where they are several.
Other encoders: `--set model.speech.path=...`, `--set model.text.path=...`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.finetune_runs import COLD, PEER, WARM, Told, Work, run_alone, with_seed, work_of
from benchmarks.finetune_sweeps import (
    DECAYS,
    THRESHOLDS,
    Trial,
    sweep_by_product,
    sweep_by_trainer,
)
from benchmarks.shared import arguments, middle_half
from persona_ray.config import load_config

if TYPE_CHECKING:
    from persona_ray.training.finetune.metrics import Scores

METRICS = ("loss", "clip_accuracy", "clip_macro_f1", "customer_accuracy", "customer_macro_f1")


def compare(work: Work, rounds: int) -> None:
    found: dict[str, list[Told]] = {COLD: [], WARM: [], PEER: []}
    for number in range(rounds):
        # The warm run takes what the cold one leaves.
        arms = (COLD, WARM, PEER) if number % 2 == 0 else (PEER, COLD, WARM)
        with tempfile.TemporaryDirectory() as temporary:
            seeded = with_seed(work, number, Path(temporary))
            for arm in arms:
                told = run_alone(seeded, arm, Path(temporary) / arm)
                found[arm].append(told)
                said = (
                    f"round {number}, {arm}: {told.seconds:.1f} s, processor {told.processor:.1f} s"
                )
                print(said, file=sys.stderr, flush=True)
    show(work, found)


def show(work: Work, found: Mapping[str, Sequence[Told]]) -> None:
    job, one = work.job, found[COLD][0]
    config = job.training
    print(
        f"{len(job.train)} clips to train on, {len(job.dev)} dev, {len(work.held_out)} held out; "
        f"{config.epochs} epochs, threshold {config.frozen_epochs}; {len(found[COLD])} rounds"
    )
    on_gpu = f"{'GPU MB':>9}" if one.gpu_mb is not None else ""
    print(
        f"  {'':<15}{'seconds':>9}{'against Trainer':>17}{'middle half':>15}{'processor':>11}"
        f"{'against':>9}{'process':>9}{'memory MB':>11}{on_gpu}{'updates':>9}"
    )
    for arm, runs in found.items():
        pairs = list(zip(runs, found[PEER], strict=True))
        line = f"  {arm:<15}{statistics.median(run.seconds for run in runs):9.1f}"
        low, middle, high = middle_half([mine.seconds / its.seconds for mine, its in pairs])
        line += f"{'':32}" if arm == PEER else f"{middle:17.3f}{low:9.3f}-{high:.3f}"
        line += f"{statistics.median(run.processor for run in runs):11.1f}"
        ratio = statistics.median(mine.processor / its.processor for mine, its in pairs)
        line += f"{'':9}" if arm == PEER else f"{ratio:9.3f}"
        line += f"{statistics.median(run.process for run in runs):9.1f}"
        line += f"{max(run.memory_mb for run in runs):11.0f}"
        if one.gpu_mb is not None:
            line += f"{max(run.gpu_mb or 0.0 for run in runs):9.0f}"
        print(line + f"{statistics.mean(run.updates for run in runs):9.0f}")
    print(f"\n  {'after the last epoch':<30}{'product':>17}{'Trainer':>17}{'difference':>19}")
    for split in ("dev", "held_out"):
        if getattr(one, split) is None:
            continue
        for name in METRICS:
            pair = [[getattr(getattr(run, split), name) for run in found[arm]]
                    for arm in (COLD, PEER)]  # fmt: skip
            show_pair(f"{split} {name}".replace("_", " "), *pair)
    show_pair("training loss", *([run.loss for run in found[arm]] for arm in (COLD, PEER)))


def show_pair(name: str, product: Sequence[float], peer: Sequence[float]) -> None:
    """Means and standard deviations over seeds; of the differences within seeds, too."""
    differences = [mine - its for mine, its in zip(product, peer, strict=True)]
    columns = [f"{mean_and_deviation(values):>17}" for values in (product, peer)]
    print(f"  {name:<30}{''.join(columns)}{mean_and_deviation(differences, '+'):>19}")


def mean_and_deviation(values: Sequence[float], sign: str = "") -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):{sign}.3f} ± {deviation:.3f}"


def sweep(work: Work, rounds: int, processes: int) -> None:
    if max(THRESHOLDS) > work.job.training.epochs:
        sys.exit(f"error: training.epochs must be at least {max(THRESHOLDS)}, the last threshold")
    trials = [Trial(threshold, decay) for decay in DECAYS for threshold in THRESHOLDS]
    work = replace(work, threads=work.threads if processes == 1 else 1)
    seconds: dict[str, list[float]] = {"product": [], PEER: []}
    scores: dict[str, list[Scores]] = {"product": [], PEER: []}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as temporary:
            seeded = with_seed(work, number, Path(temporary))
            for arm in seconds if number % 2 == 0 else reversed(list(seconds)):
                began = time.perf_counter()
                run = sweep_by_product if arm == "product" else sweep_by_trainer
                scores[arm] += run(seeded, trials, processes, Path(temporary))
                seconds[arm].append(time.perf_counter() - began)
                said = f"round {number}, sweep by {arm}: {seconds[arm][-1]:.1f} s"
                print(said, file=sys.stderr, flush=True)
    pairs = zip(seconds["product"], seconds[PEER], strict=True)
    low, middle, high = middle_half([mine / its for mine, its in pairs])
    print(
        f"{len(trials)} trials of {work.job.training.epochs} epochs (thresholds {THRESHOLDS}, "
        f"decay rates {DECAYS}), {processes} at a time, {len(work.job.train)} clips, "
        f"{rounds} round(s)"
    )
    for arm, times in seconds.items():
        print(f"  {arm:<10}{statistics.median(times):9.1f} s, processes started anew")
    print(f"  product against Trainer {middle:.3f} ({low:.3f}-{high:.3f})")
    for name in METRICS:
        pair = [[getattr(score, name) for score in scores[arm]] for arm in ("product", PEER)]
        show_pair(f"dev {name.replace('_', ' ')}", *pair)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=None, help="5, of the sweep 1")
    parser.add_argument("--sweep", action="store_true", help="12 trials against 12 Trainer runs")
    parser.add_argument("--unfrozen", action="store_true", help="threshold 0")
    parser.add_argument("--clips", type=int, help="at most so many of each split (thinned out)")
    parser.add_argument("--readers", type=int, help="Trainer's dataloader workers")
    parser.add_argument("--processes", type=int, default=2, help="of the sweep, at a time")
    chosen = parser.parse_args()
    from benchmarks.trainer_peer import check_peer
    from persona_ray.errors import PersonaRayError

    check_peer()
    try:
        config = load_config(chosen.config, chosen.overrides)
        work = work_of(config, chosen.clips, chosen.readers, chosen.unfrozen)
    except PersonaRayError as error:
        sys.exit(f"error: {error}")
    if chosen.sweep:
        sweep(work, chosen.rounds or 1, chosen.processes)
    else:
        compare(work, chosen.rounds or 5)


if __name__ == "__main__":
    main()
