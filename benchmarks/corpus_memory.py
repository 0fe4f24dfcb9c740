"""Does the memory of `corpus build` grow with the number of calls?

    python -m benchmarks.corpus_memory [--calls 200 2000 6000] [--backend ray]

Builds corpora of so many short calls with ready transcripts, each in a process of its own, and
prints the peak private memory of the driver and of all its descendants together (Ray's workers and
its own processes among them; shared pages not counted). Up to one full shard (2048 clips) the
driver's write buffers still fill; beyond it nothing grows. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from benchmarks.shared import described
from tests.unit.corpus.business import words_json
from tests.unit.corpus.calls import SENTENCES, track, words_at, write_call

CALL_S, TALK_S = 4.0, 3.0


def make_archive(folder: Path, calls: int) -> None:
    """`calls` rows that share one recording."""
    write_call(folder / "call.wav", track([0.5], CALL_S, TALK_S))
    words = words_json(words_at(SENTENCES[0], 0.5, TALK_S))
    with create_engine(f"sqlite:///{folder / 'business.sqlite'}").begin() as connection:
        connection.execute(text("CREATE TABLE calls (call_id TEXT PRIMARY KEY, words TEXT)"))
        connection.execute(
            text("INSERT INTO calls VALUES (:call_id, :words)"),
            [{"call_id": f"call-{n:07d}", "words": words} for n in range(calls)],
        )


def build(folder: Path, backend: str) -> None:
    """One build; runs in a process of its own."""
    from persona_ray.config import RunConfig
    from persona_ray.corpus.pipeline import build_corpus
    from persona_ray.launch.cluster import connect

    query = (
        "SELECT call_id, 'k' AS customer_id, 'call.wav' AS audio_uri, 1 AS customer_channel, "
        "2 AS channels, words AS transcript_words FROM calls"
    )
    config = RunConfig.model_validate(
        {
            "workspace": folder / "run",
            "archive": {
                "url": f"sqlite:///{folder / 'business.sqlite'}",
                "query": query,
                "audio_root": str(folder),
            },
            "launch": {"backend": backend},
        }
    )
    summary = build_corpus(config, cluster=connect(config.launch))
    assert summary.count("clips") > 0, "no clip: the benchmark would measure nothing"
    print(f"{summary.elapsed_s:.1f} s, {summary.audio_s_per_s:.0f} audio seconds per second")


def measure(folder: Path, backend: str) -> tuple[float, float, str]:
    """(peak MiB of the driver, peak MiB of its descendants, what the build printed)."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.corpus_memory",
            "--build",
            str(folder),
            "--backend",
            backend,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    peaks = [0.0, 0.0]

    def watch() -> None:
        while process.poll() is None:
            driver, others = private_mib(process.pid), descendants(process.pid)
            peaks[0] = max(peaks[0], driver)
            peaks[1] = max(peaks[1], sum(private_mib(pid) for pid in others))
            time.sleep(0.5)

    watcher = threading.Thread(target=watch)
    watcher.start()
    out, _ = process.communicate()
    watcher.join()
    if process.returncode != 0:
        raise SystemExit("the build failed")
    return peaks[0], peaks[1], out.strip()


def private_mib(pid: int) -> float:
    """What only this process has; interpreters share the pages of their libraries."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        # It has just ended.
        return 0.0
    sizes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(sizes) / 1024


def descendants(pid: int) -> set[int]:
    """Processes under `pid`."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    reached = {pid}
    while reached:
        reached = {child for child, parent in parents.items() if parent in reached} - found
        found |= reached
    return found


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--calls", type=int, nargs="+", default=[200, 2000, 6000])
    parser.add_argument("--backend", choices=["ray", "plain"], default="ray")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build is not None:
        build(arguments.build, arguments.backend)
        return
    print(f"{'calls':>8} {'driver MiB':>11} {'others MiB':>11}")
    for calls in arguments.calls:
        with tempfile.TemporaryDirectory() as name:
            make_archive(Path(name), calls)
            driver, others, said = measure(Path(name), arguments.backend)
        print(f"{calls:>8} {driver:>11.0f} {others:>11.0f}   {said}", flush=True)


if __name__ == "__main__":
    main()
