"""The ceiling of serving_load.py: the same models in one process, without a server.

Reads one JSON object a line (`kind`, `count`, `clients`), answers with one, as serving_client.py.
The requests wait in a list; `workers` threads take `batch` of them at a time and ask the
recogniser, with `threads` threads of torch and of the speech recogniser for each. No request
comes over a socket, none waits for a batch to fill, nobody is told anything before the end of its
batch: a server on the same processors can come near, not pass.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving_client import Answers
from benchmarks.serving_requests import Request, answer, course, decoded, read, right
from benchmarks.shared import arguments
from persona_ray.config import RunConfig, load_config

if TYPE_CHECKING:
    from persona_ray.inference.personality import PersonalityRecognizer


def load_recognizer(config: RunConfig, threads: int) -> PersonalityRecognizer:
    """With its speech recogniser loaded, and `threads` for each model at each call."""
    import numpy as np
    import torch

    from persona_ray.inference.clips import ClipInput
    from persona_ray.inference.personality import PersonalityRecognizer

    torch.set_num_threads(threads)
    asr = config.asr.model_copy(update={"threads": threads})
    config = config.model_copy(update={"asr": asr})
    recognizer = PersonalityRecognizer.load(config.bundle_dir, config, "cpu")
    noise = 0.1 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32)
    recognizer.clip(ClipInput(noise, 16_000, "你好"))
    recognizer.clip(ClipInput(noise, 16_000))
    return recognizer


def work(
    recognizer: PersonalityRecognizer, requests: Sequence[Request], workers: int, batch: int
) -> Answers:
    answers = Answers()
    batches = [requests[start : start + batch] for start in range(0, len(requests), batch)]

    def run(some: Sequence[Request]) -> float:
        began = time.perf_counter()
        if some[0].kind == "calls":
            found = [answer(recognizer, one) for one in some]
        else:
            results = recognizer.clips([decoded(one) for one in some])
            found = [getattr(one.result, "probabilities", None) for one in results]
        pairs = zip(some, found, strict=True)
        answers.other += sum(not right(asked, one) for asked, one in pairs)
        return time.perf_counter() - began

    with ThreadPoolExecutor(workers) as pool:
        began, used = time.perf_counter(), time.process_time()
        spent = list(pool.map(run, batches))
        answers.seconds = time.perf_counter() - began
        answers.processor_s = time.process_time() - used
    answers.latencies_s = [s for s, some in zip(spent, batches, strict=True) for _ in some]
    return answers


def main() -> None:
    parser = arguments(__doc__)
    add_settings(parser)
    parser.add_argument("--folder", type=Path, required=True, help="of the requests")
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
    recognizer = load_recognizer(config, chosen.threads)
    requests = read(chosen.folder)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        some = course(requests[asked["kind"]], asked["count"])
        print(json.dumps(asdict(work(recognizer, some, chosen.workers, chosen.batch))), flush=True)


def add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=2, help="at work at once")
    parser.add_argument("--threads", type=int, default=1, help="of each model")
    parser.add_argument("--batch", type=int, default=1, help="requests of one batch")


if __name__ == "__main__":
    main()
