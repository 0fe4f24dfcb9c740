"""Search among a million voiceprints on one core: times, memory, exactness, a store's way to it.

    python -m benchmarks.voice_search [--voices 1000000] [--searches 200] [--kind exact] [--store]

Voices are blends of the cohort's voiceprints with noise (`like voices`), or directions drawn at
random (`anywhere`); a search is for one of them, disturbed. CPU time is that of the thread that
searches: where the machine does other work too, wall time waits for it. --store instead writes the
voices to a SQLite store, reads them back as a replica does at its start, and times how long it
takes until the replica knows a voice that somebody else puts in.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared import described
from persona_ray.config.screening import VoiceConfig
from persona_ray.inference.screening.records import Channel
from persona_ray.inference.screening.voice_index import ExactIndex, VoiceIndex, build_index
from persona_ray.inference.screening.voice_scores import build_calibration

ENGINE = "ge2e/39373b86598f"
COUNT = 10
_PART = 50_000
Floats = NDArray[np.float32]
Kept = NDArray[np.float16]


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--voices", type=int, default=1_000_000)
    parser.add_argument("--searches", type=int, default=200)
    parser.add_argument("--kind", choices=("exact", "usearch"), default="exact")
    parser.add_argument("--store", action="store_true")
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    cohort = build_calibration(VoiceConfig(), ENGINE).channels[Channel.TELEPHONE].cohort
    if arguments.store:
        _through_a_store(_alike(cohort), arguments.voices)
        return
    for name, draw in (("like voices", _alike(cohort)), ("anywhere", _anywhere(cohort.shape[1]))):
        _measure(name, draw, arguments)


Draw = Callable[[int, np.random.Generator], Floats]


def _alike(cohort: Floats) -> Draw:
    def draw(count: int, random: np.random.Generator) -> Floats:
        parts = random.integers(len(cohort), size=(count, 3))
        shares = random.dirichlet([1, 1, 1], count).astype(np.float32) * 1.6 - 0.2
        voices = np.einsum("nk,nkd->nd", shares, cohort[parts])
        voices += random.normal(0, 0.02, voices.shape).astype(np.float32)
        return _unit(np.maximum(voices, 0))

    return draw


def _anywhere(size: int) -> Draw:
    return lambda count, random: _unit(random.standard_normal((count, size), np.float32))


def _unit(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def _voices(draw: Draw, count: int) -> Kept:
    random = np.random.default_rng(0)
    out: Kept = np.empty((count, draw(1, random).shape[1]), np.float16)
    for start in range(0, count, _PART):
        out[start : start + _PART] = draw(min(_PART, count - start), random)
    return out


def _measure(name: str, draw: Draw, arguments: argparse.Namespace) -> None:
    voices = _voices(draw, arguments.voices)
    index: VoiceIndex = build_index(arguments.kind, voices.shape[1])
    begin = time.thread_time()
    index.load([str(row) for row in range(len(voices))], voices)
    loaded_s = time.thread_time() - begin
    random = np.random.default_rng(1)
    wanted = voices[random.integers(len(voices), size=arguments.searches)].astype(np.float32)
    queries = _unit(wanted + random.normal(0, 0.02, wanted.shape).astype(np.float32))
    index.search(queries[0], COUNT)
    walls, cpus, hits = [], [], 0
    found = []
    for query in queries:
        wall, cpu = time.perf_counter(), time.thread_time()
        found.append({int(n.voice_id) for n in index.search(query, COUNT)})
        walls.append(time.perf_counter() - wall)
        cpus.append(time.thread_time() - cpu)
    checked = min(50, len(queries))
    for query, rows in zip(queries[:checked], found, strict=False):
        hits += len(rows & _true(voices, query))
    print(
        f"{arguments.kind}, {len(voices)} {name}: cpu p50 {_ms(cpus, 50)}, p95 {_ms(cpus, 95)} ms; "
        f"wall p50 {_ms(walls, 50)}, p95 {_ms(walls, 95)} ms; recall at {COUNT} "
        f"{hits / (checked * COUNT):.4f}; {index.memory_bytes / 1e6:.0f} MB; "
        f"loaded in {loaded_s:.1f} s",
        flush=True,
    )
    if isinstance(index, ExactIndex):
        looked = [index.looked_at(query, COUNT) for query in queries[:checked]]
        print(
            f"    looked at in full: median {np.median(looked):.0f}, most {max(looked)}", flush=True
        )


def _ms(seconds: list[float], percentile: float) -> str:
    return f"{1000 * np.percentile(seconds, percentile):.1f}"


def _true(voices: Kept, query: Floats) -> set[int]:
    cosines = np.concatenate(
        [
            voices[start : start + _PART].astype(np.float32) @ query
            for start in range(0, len(voices), _PART)
        ]
    )
    return set(np.argpartition(-cosines, COUNT)[:COUNT].tolist())


class _Encoder:
    name, rate_hz, size = ENGINE, 16_000, 256


class _Printer:
    encoder = _Encoder()


def _through_a_store(draw: Draw, count: int) -> None:
    from persona_ray.inference.screening.voice_library import VoiceLibrary
    from persona_ray.store import open_store
    from persona_ray.store.screening.voice_records import VoiceEntry, VoiceSample
    from persona_ray.store.screening.voice_tables import VoiceRow

    now = datetime.now(UTC)
    config = VoiceConfig()
    with (
        tempfile.TemporaryDirectory() as folder,
        open_store(f"sqlite:///{Path(folder)}/store.sqlite") as store,
    ):
        _fill(store.voices, VoiceRow, _voices(draw, count), now)
        calibration = build_calibration(config, ENGINE)
        replica = VoiceLibrary(
            _Printer(),  # type: ignore[arg-type]
            calibration,
            ExactIndex(256),
            store.voices,
            config,
        )
        begin = time.perf_counter()
        replica.catch_up()
        print(
            f"a replica's start: {len(replica)} voices in {time.perf_counter() - begin:.1f} s",
            flush=True,
        )
        delays = []
        for number in range(20):
            vector = draw(1, np.random.default_rng(number + 100))[0].astype("<f2").tobytes()
            entry = VoiceEntry(
                voice_id=f"new{number}",
                engine=ENGINE,
                voiceprint=vector,
                standing="illegal",
                category="refund_fraud",
                origin="operator",
            )
            begin = time.perf_counter()
            store.voices.put(entry, [VoiceSample("c", vector, 3.0)], None, now)
            before = len(replica)
            while len(replica) == before:
                replica.refresh()
                time.sleep(0.01)
            delays.append(time.perf_counter() - begin)
        print(f"a change, at the replica: p50 {_ms(delays, 50)}, most {_ms(delays, 100)} ms")


def _fill(repository: object, table: object, voices: Kept, now: datetime) -> None:
    """Rows without the log: as if it had been pruned."""
    from sqlalchemy import insert

    database = repository._database  # type: ignore[attr-defined]
    for start in range(0, len(voices), _PART):
        rows = [
            {
                "voice_id": f"{start + place:08}",
                "engine": ENGINE,
                "voiceprint": vector.tobytes(),
                "standing": "illegal",
                "category": "refund_fraud",
                "origin": "operator",
                "state": "listed",
                "near": "",
                "created_at": now,
                "changed_at": now,
                "expires_at": None,
            }
            for place, vector in enumerate(voices[start : start + _PART])
        ]
        with database.write() as session:
            session.execute(insert(table), rows)  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
