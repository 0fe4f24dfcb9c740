"""A small archive with everything that a call can be, a bundle, and the job's results as values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from persona_ray.config import RunConfig
from persona_ray.launch.archive.job import RecognizedArchive, recognize_archive
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.progress import SilentProgress
from persona_ray.types import Modality
from tests.unit.corpus.business import call_row, fill, words_json
from tests.unit.corpus.calls import RATE_HZ, SENTENCES, run_config, track, words_at, write_call
from tests.unit.models.test_bimodal import small_model

# Of twelve calls: two files are absent, one is silent, one has a short answer only, one row is bad.
CALLS = 12
ABSENT, SILENT, SHORT, BAD = (4, 9), 5, 6, 7
# Nobody can say a colour of them: all their calls are among these.
LOST = {4: "lost", 5: "lost", 6: "brief"}


def call_id(number: int) -> str:
    return f"call-{number:03d}"


def make_calls(folder: Path, first: int = 0, calls: int = CALLS, transcripts: bool = True) -> str:
    """Calls of a database in `folder`; its URL. Those from CALLS on are all sound."""
    for kind in range(4):
        path = folder / "audio" / f"{kind}.wav"
        if not path.exists():
            write_call(path, track([0.5, 3.5], 6.5, pitch_hz=120 + 40 * kind))
    write_call(folder / "audio" / "silent.wav", np.zeros(5 * RATE_HZ, dtype=np.float32))
    rows, said = [], []
    for number in range(first, first + calls):
        kind = number % 4
        audio = "absent" if number in ABSENT else "silent" if number == SILENT else str(kind)
        rows.append(
            call_row(
                call_id(number),
                audio_uri=f"audio/{audio}.wav",
                customer_id=LOST.get(number, f"customer-{number % 3}"),
                customer_channel="left" if number == BAD else "1",
            )
        )
        words = words_at(SENTENCES[kind], 0.5) + words_at(SENTENCES[kind - 1], 3.5)
        short = words_at("嗯", 0.5, 0.3)
        said.append((call_id(number), 1, words_json(short if number == SHORT else words)))
    url = f"sqlite:///{folder / 'business.sqlite'}"
    names = ("customer-0", "customer-1", "customer-2", "lost", "brief") if first == 0 else ()
    fill(url, rows, said if transcripts else (), customers=names)
    return url


def configured(folder: Path, url: str, name: str = "run", **changes: Any) -> RunConfig:
    """The workspace `name` with a bundle in it, and `changes`."""
    config = run_config(folder, url, name=name, **changes)
    if not config.bundle_dir.exists():
        make_bundle(config.bundle_dir)
    return config


def make_bundle(path: Path, modality: Modality = Modality.BOTH, seed: int = 0) -> Path:
    model = small_model(modality, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_bundle(model, path, contract_of(model, "", {}, {}))
    return path


def recognise(config: RunConfig, **options: Any) -> RecognizedArchive:
    return recognize_archive(config, SilentProgress(), **options)


def rows(found: RecognizedArchive | Path, kind: str) -> list[dict[str, Any]]:
    """Of the `calls`, `sentences` or `customers` in the results' folder."""
    folder = found if isinstance(found, Path) else found.folder
    files = sorted(folder.glob(f"{kind}*.parquet"))
    table = pa.concat_tables(pq.read_table(file) for file in files)
    read: list[dict[str, Any]] = table.to_pylist()
    return read


def shares(row: dict[str, Any]) -> dict[str, float]:
    """The probabilities of a row, by label."""
    return {name[2:]: value for name, value in row.items() if name.startswith("p_")}
