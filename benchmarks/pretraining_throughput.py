"""What the pretraining loop costs over a plain PyTorch loop, and what its batches save.

    python -m benchmarks.pretraining_throughput --config configs/demo.yaml

Five arms train the same model on the corpus of the configuration's workspace (`persona-ray corpus
build` makes it). Each is a process of its own, and only one of them works at a time: they take
turns of some updates, in an order that turns round, so that what else the machine does falls on
all of them alike. The first turn of each does not count. The first three arms pass the very same
updates through the model in lockstep; their ratios are medians over the rounds of one arm's
seconds by the other's. The last arm comes in turns of its own, against `random`, and for speech
alone: texts lie in memory.

    ray          the product: `pretrain` in a Ray Train worker, batches made beside the training
    no ray       the same loop in a plain process
    plain        a plain PyTorch loop of the same model, which makes each batch when it needs it
    random       the plain loop with clips in random order, padded to the longest of each batch
    ray data     the plain loop with random batches that Ray Data reads, decodes and shuffles

Other encoders: `--set model.speech.path=...`, `--set model.text.path=...`.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks import lockstep, pretraining_arms
from benchmarks.lockstep import KEY, Turns, arrived, heading, line, take_turns
from benchmarks.pretraining_arms import EPOCHS, Job, in_process, on_ray, ray_data_batches
from benchmarks.shared import arguments, pretraining_task
from persona_ray.config import RunConfig, load_config

Encoder = Literal["speech", "text"]
LOCKSTEP = ("ray", "no ray", "plain")
ALONE = (*LOCKSTEP, "random")
FED = ("random", "ray data")


def planned_positions(job: Job) -> Iterator[list[int]]:
    for _, _, portions in job.settings.course(job.task.sizes()).dealt(0, 0, 1):
        yield [position for portion in portions for position in portion.positions]


def compare(config: RunConfig, encoder: Encoder, rounds: int, turn_s: float) -> None:
    import ray

    # Ray's workers have no path to this folder.
    for module in (pretraining_arms, lockstep):
        ray.cloudpickle.register_pickle_by_value(module)
    arms = (*ALONE, "ray data") if encoder == "speech" else ALONE
    with (
        tempfile.TemporaryDirectory() as temporary,
        Listener(("127.0.0.1", 0), authkey=KEY) as turns,
    ):
        cluster = ray.get_runtime_context().gcs_address
        address: Any = turns.address
        job = replace(job_of(config, encoder), address=address, cluster=cluster)
        if encoder == "speech":
            feed_alone(job)
        spawn = multiprocessing.get_context("spawn")
        folder = Path(temporary)
        fit = threading.Thread(target=on_ray, args=(job, folder / "ray"), daemon=True)
        fit.start()
        others = [
            spawn.Process(target=in_process, args=(job, arm, folder / arm), daemon=True)
            for arm in arms[1:]
        ]
        for process in others:
            process.start()
        waiting = arrived(arms, turns)
        sizes = job.task.sizes()
        plan = planned_positions(job)
        show(job, encoder, take_turns(plan, sizes, ALONE, waiting, rounds, turn_s))
        if encoder == "speech":
            # Ray Data works on while it is not its turn: it must not disturb the arms above.
            plan = planned_positions(job)
            show_fed(take_turns(plan, sizes, FED, waiting, max(3, rounds // 2), turn_s))
        for connection in waiting.values():
            connection.send(0)
        fit.join()
        for process in others:
            process.join()


def job_of(config: RunConfig, encoder: Encoder) -> Job:
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.training.pretrain.settings import PretrainSettings

    dataset = CorpusDataset.open(config.corpus_dir)
    task = pretraining_task(config, encoder, list(dataset.infos()), dataset)
    settings = PretrainSettings.of(getattr(config.pretraining, encoder))
    settings = replace(settings, epochs=EPOCHS)
    clips = like_bucketed(task.sizes(), settings.micro_size)
    portions = max(1, round(settings.update_size / settings.micro_size))
    return Job(config, task, settings, clips, portions, ("", 0), "")


def like_bucketed(sizes: Sequence[float], micro_size: float) -> int:
    """Clips of a random batch that takes `micro_size` on average, padding included."""
    lengths = np.random.default_rng(0).permutation(np.asarray(sizes))
    clips = 1
    while clips < len(lengths) and padded_of(lengths, clips + 1) <= micro_size:
        clips += 1
    return clips


def padded_of(lengths: np.ndarray, clips: int) -> float:
    """Mean padded size of a batch."""
    whole = lengths[: len(lengths) // clips * clips].reshape(-1, clips)
    return float(clips * whole.max(axis=1).mean())


def feed_alone(job: Job) -> None:
    """Batches without a model, map-style and through Ray Data."""
    from persona_ray.training.context import PlainContext
    from persona_ray.training.feed import Feed

    def map_style() -> Generator[int, None, None]:
        with Feed(job.task, job.settings.course(job.task.sizes()), PlainContext(Path()), 0) as feed:
            for ready in feed:
                yield sum(len(portion.positions) for portion in ready.portions)

    wanted = 3 * len(job.task.sizes())
    print(f"\nfeed alone, {wanted} clips after the first batch")
    for name, feed in (
        ("map-style shards", map_style()),
        ("Ray Data", (clips for _, clips in ray_data_batches(job))),
    ):
        began = time.perf_counter()
        next(feed)
        first = time.perf_counter()
        clips = 0
        while clips < wanted:
            clips += next(feed)
        rate = clips / (time.perf_counter() - first)
        feed.close()
        print(f"  {name:<18}{rate:7.0f} clips/s, the first batch after {first - began:.2f} s")


def show(job: Job, encoder: str, found: Mapping[str, Turns]) -> None:

    unit = "audio s/s" if encoder == "speech" else "tokens/s"
    rounds = len(found["ray"].seconds)
    print(f"\n{encoder}: {rounds} rounds of {statistics.median(found['ray'].seconds):.1f} s each")
    print(heading(unit, "plain"))
    for arm, turns in found.items():
        print(line(arm, turns, found["plain"] if arm in LOCKSTEP and arm != "plain" else None))
    sizes = np.asarray(job.task.sizes())
    once = replace(job.settings, epochs=1).course(job.task.sizes()).dealt(0, 0, 1)
    bucketed = sum(
        len(portion.positions) * sizes[list(portion.positions)].max()
        for _, _, portions in once
        for portion in portions
    )
    lengths = np.random.default_rng(0).permutation(sizes)
    shuffled = padded_of(lengths, job.clips) / job.clips * len(sizes)
    gain = found["ray"].rate(found["ray"].items) / found["random"].rate(found["random"].items)
    print(
        f"  padding: {1 - sizes.sum() / bucketed:.0%} bucketed, {1 - sizes.sum() / shuffled:.0%} "
        f"in random batches of {job.clips}; the product does {gain:.2f} times their clips/s"
    )


def show_fed(found: Mapping[str, Turns]) -> None:
    print(f"  the same random batches, {len(found['random'].seconds)} rounds more")
    for arm, turns in found.items():
        print(line(arm, turns, None))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", choices=("speech", "text"), help="one encoder")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--turn-s", type=float, default=1.5, help="aimed at, of each arm")
    chosen = parser.parse_args()
    from persona_ray.errors import PersonaRayError
    from persona_ray.launch.cluster import connect

    try:
        config = load_config(chosen.config, chosen.overrides)
        # One worker for training, and room for Ray Data's tasks beside it.
        room = config.launch.model_copy(update={"workers": 3})
        with connect(room):
            for encoder in (chosen.only,) if chosen.only else ("text", "speech"):
                compare(config, encoder, chosen.rounds, chosen.turn_s)
    except PersonaRayError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
