"""What sealing costs: voiceprints at a service's start, a live recording, a pass over a corpus.

    python -m benchmarks.vault                              # all, with the corpus of runs/full
    python -m benchmarks.vault --corpus runs/other/corpus --voices 10000

Processor seconds. Sealed and plain take turns; a ratio is the median over the pairs, with the least
and the most. A pass reads every clip and decodes it, in one thread, which is the least that
training does.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sqlalchemy import insert

from benchmarks.shared import described
from persona_ray.config import load_config
from persona_ray.config.privacy import Sealed
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import write_manifest
from persona_ray.corpus.sealing import begin_sealing, reads
from persona_ray.corpus.shards import CALLS_PREFIX, CLIPS_PREFIX, ShardWriter
from persona_ray.serving.screening.recordings import Recorder
from persona_ray.serving.screening.tracks import read
from persona_ray.store import open_store
from persona_ray.store.screening.sealed import of_voice
from persona_ray.store.screening.voice_tables import VoiceRow
from persona_ray.vault.keys import KeyRing
from persona_ray.vault.seal import PLAIN, Vault

_PART = 5000
_RATE_HZ = 8000
_CALL_S = 600


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--corpus", type=Path, default=Path("runs/full/corpus"))
    parser.add_argument("--voices", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument(
        "--only", nargs="+", choices=_MEASURES, default=list(_MEASURES), metavar="WHAT"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen.only:
            _MEASURES[name](Path(folder) / name, chosen)


def voices(folder: Path, chosen: argparse.Namespace) -> None:
    """Reading all voiceprints of the database, as a service does that starts."""
    now, vault = datetime.now(UTC), _vault(folder)
    stores = {
        name: open_store(f"sqlite:///{folder / name}.sqlite", vault=vault)
        for name in ("plain", "sealed")
    }
    vectors = np.random.default_rng(0).normal(size=(chosen.voices, 256)).astype("<f2")
    for name, store in stores.items():
        for start in range(0, chosen.voices, _PART):
            rows = [
                _voice(f"{start + place:08}", vector.tobytes(), now, vault, name == "sealed")
                for place, vector in enumerate(vectors[start : start + _PART])
            ]
            with store._database.write() as session:
                session.execute(insert(VoiceRow), rows)

    def opened(name: str) -> int:
        after, found = "", 0
        while page := stores[name].voices.page(now, after, _PART):
            after, found = page[-1].voice_id, found + len(page)
        return found

    _tell(
        f"{chosen.voices} voiceprints read",
        chosen.pairs,
        lambda: opened("plain"),
        lambda: opened("sealed"),
    )


def recording(folder: Path, chosen: argparse.Namespace) -> None:
    """The tracks of a call of ten minutes, written each second and read at its end."""
    vault = _vault(folder)
    rng = np.random.default_rng(0)
    seconds = rng.uniform(-0.5, 0.5, (_CALL_S, _RATE_HZ)).astype(np.float32)
    numbers = iter(range(10_000))

    def recorded(by: Vault) -> None:
        place = folder / str(next(numbers))
        recorder = Recorder(place, _RATE_HZ, by)
        for second in seconds:
            recorder.hear(second)
            recorder.flush()
        read(place, by)

    _tell(
        f"{_CALL_S} s of a call recorded and read",
        chosen.pairs,
        lambda: recorded(PLAIN),
        lambda: recorded(vault),
    )


def corpus(folder: Path, chosen: argparse.Namespace) -> None:
    """A pass over a corpus in its order, and one over its texts alone."""
    whole = CorpusDataset.open(chosen.corpus)
    plain = _copy(whole, folder / "plain", [])
    sealed = _copy(whole, folder / "sealed", [Sealed.CLIPS])
    hours = whole.manifest.seconds["clips"] / 3600
    what = f"{len(whole)} clips ({hours:.2f} h)"
    _tell(
        f"{what} read and decoded",
        chosen.pairs,
        lambda: _count(CorpusDataset.open(plain).clips()),
        lambda: _count(CorpusDataset.open(sealed).clips()),
    )
    _tell(
        f"{what}: texts alone",
        chosen.pairs,
        lambda: _count(CorpusDataset.open(plain).infos()),
        lambda: _count(CorpusDataset.open(sealed).infos()),
    )
    sizes = [sum(path.stat().st_size for path in one.glob("clips-*")) for one in (plain, sealed)]
    print(f"shards: {sizes[0] / 1e6:.1f} MB plain, {sizes[1] / sizes[0] - 1:+.2%} sealed")


def _copy(whole: CorpusDataset, folder: Path, sealed: list[Sealed]) -> Path:
    workspace = folder.parent / f"of-{folder.name}"
    named = f"privacy.vault.sealed=[{','.join(sealed)}]"
    config = load_config(None, [f"workspace={workspace}", named])
    config.corpus_dir.mkdir(parents=True)
    begin_sealing(config.corpus_dir, config)
    shards = {}
    for prefix, before in (
        (CLIPS_PREFIX, whole.manifest.clip_shards),
        (CALLS_PREFIX, whole.manifest.call_shards),
    ):
        schema = pq.ParquetFile(whole.path / before[0].name, **reads(whole.path)).schema_arrow
        rows = before[0].rows
        with ShardWriter(
            config.corpus_dir, prefix, schema, (), rows_per_shard=rows, rows_per_group=64
        ) as writer:
            for shard in before:
                writer.write(pq.read_table(whole.path / shard.name, **reads(whole.path)))
        shards[prefix] = writer.shards
    manifest = whole.manifest.model_copy(
        update={"clip_shards": shards[CLIPS_PREFIX], "call_shards": shards[CALLS_PREFIX]}
    )
    write_manifest(config.corpus_dir, manifest)
    return config.corpus_dir


def _vault(folder: Path) -> Vault:
    folder.mkdir(parents=True, exist_ok=True)
    return Vault(KeyRing(folder / "vault.keys", makes=True), tuple(Sealed))


def _voice(
    voice_id: str, vector: bytes, now: datetime, vault: Vault, sealed: bool
) -> dict[str, object]:
    return {
        "voice_id": voice_id,
        "engine": "bench",
        "voiceprint": vault.seal(vector, of_voice(voice_id)) if sealed else vector,
        "standing": "illegal",
        "category": "refund_fraud",
        "origin": "operator",
        "state": "listed",
        "near": "",
        "created_at": now,
        "changed_at": now,
        "expires_at": None,
    }


def _count(found: Iterator[object]) -> int:
    return sum(1 for _ in found)


def _tell(what: str, pairs: int, plain: Callable[[], object], sealed: Callable[[], object]) -> None:
    plain(), sealed()
    times: list[tuple[float, float]] = []
    for _ in range(pairs):
        one, other = (_seconds(work) for work in (plain, sealed))
        times.append((one, other))
    ratios = sorted(other / one for one, other in times)
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    print(
        f"{what}: {medians[0]:.3f} s plain, {medians[1]:.3f} s sealed; ratio "
        f"{statistics.median(ratios):.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f})",
        flush=True,
    )


def _seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


_MEASURES = {"voices": voices, "recording": recording, "corpus": corpus}


if __name__ == "__main__":
    main()
