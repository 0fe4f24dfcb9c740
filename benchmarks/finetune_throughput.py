"""What the fine-tuning loop costs over a plain PyTorch loop, once the encoders are trained.

    python -m benchmarks.finetune_throughput --config configs/demo.yaml

Three arms train the same bimodal model, towers and head, on the labelled clips of the
configuration's workspace (`persona-ray corpus build` and `annotate import` make it). Each is a
process of its own, and only one of them works at a time: they take turns of some updates, in an
order that turns round, so that what else the machine does falls on all of them alike. All make the
very same updates; the first turn of each does not count. Ratios are medians over the rounds of one
arm's seconds by the plain loop's, with the middle half of them.

    ray          the product: `fit` in a Ray Train worker, checkpoints after each epoch
    no ray       the same loop in a plain process
    plain        a plain PyTorch loop

Other encoders: `--set model.speech.path=...`, `--set model.text.path=...`.
"""

from __future__ import annotations

import multiprocessing
import statistics
import sys
import tempfile
import threading
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

from benchmarks import finetune_arms, lockstep
from benchmarks.finetune_arms import Job, course_of, in_process, on_ray, sizes_of, steady
from benchmarks.lockstep import KEY, arrived, heading, line, take_turns
from benchmarks.shared import arguments, labelled_job
from persona_ray.config import RunConfig, load_config

ARMS = ("ray", "no ray", "plain")
# More than any benchmark gets through.
EPOCHS = 300


def compare(config: RunConfig, rounds: int, turn_s: float) -> None:
    import ray

    # Ray's workers have no path to this folder.
    for module in (finetune_arms, lockstep):
        ray.cloudpickle.register_pickle_by_value(module)
    work = steady(labelled_job(config)[0], EPOCHS)
    with (
        tempfile.TemporaryDirectory() as temporary,
        Listener(("127.0.0.1", 0), authkey=KEY) as turns,
    ):
        address: Any = turns.address
        job = Job(work, config.launch.model_copy(update={"workers": 1}), address)
        folder = Path(temporary)
        fit = threading.Thread(target=on_ray, args=(job, folder / "ray"), daemon=True)
        fit.start()
        spawn = multiprocessing.get_context("spawn")
        others = [
            spawn.Process(target=in_process, args=(job, arm, folder / arm), daemon=True)
            for arm in ARMS[1:]
        ]
        for process in others:
            process.start()
        waiting = arrived(ARMS, turns)
        plan = (
            [position for portion in portions for position in portion.positions]
            for _, _, portions in course_of(work).dealt(0, 0, 1)
        )
        found = take_turns(plan, sizes_of(work), ARMS, waiting, rounds, turn_s)
        for connection in waiting.values():
            connection.send(0)
        fit.join()
        for process in others:
            process.join()
    print(f"{rounds} rounds of {statistics.median(found['plain'].seconds):.1f} s each")
    print(heading("audio s/s", "plain"))
    for arm, its in found.items():
        print(line(arm, its, None if arm == "plain" else found["plain"]))


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--turn-s", type=float, default=3.0, help="aimed at, of each arm")
    chosen = parser.parse_args()
    from persona_ray.errors import PersonaRayError
    from persona_ray.launch.cluster import connect

    try:
        config = load_config(chosen.config, chosen.overrides)
        with connect(config.launch):
            compare(config, chosen.rounds, chosen.turn_s)
    except PersonaRayError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
