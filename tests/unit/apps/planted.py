"""A workspace in which one customer is known to stand in every place, and a search through it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch

from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import build_corpus
from persona_ray.corpus.units import UnitsKey, units_dir, write_units
from persona_ray.launch.archive.job import recognize_archive
from persona_ray.models.lineage import Heard, Lineage, Use
from persona_ray.progress import SilentProgress
from persona_ray.store import Annotation, Assignment, Store, open_audited
from persona_ray.store.jobs import JobCall
from persona_ray.store.screening.call_records import NewCall
from persona_ray.training.finetune.front_cache import ClipFrames, FrontCache
from persona_ray.training.finetune.vectors import VectorCache
from persona_ray.types import Split
from tests.unit.corpus.business import call_row, fill, words_json
from tests.unit.corpus.calls import run_config, track, words_at, write_call
from tests.unit.launch.recognised import make_bundle
from tests.unit.store.assist.fill import begin, decide

CUSTOMER, OTHER = "KD-7781", "KD-9002"
NUMBER, USER = "+8613912345678", "user-ann"
CALLS = ("RUF-0001", "RUF-0002")
LIVE = "LIVE-3301"
SAID = "我家住在翠竹苑十二号楼请不要再打了"
OTHERS_SAID = "你们上次说的那个活动还有没有"
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def make_workspace(folder: Path) -> RunConfig:
    """Two calls of the customer and two of another, through the corpus and the recognition of the
    archive; then what training would have left."""
    rows, said = [], []
    for number, call_id in enumerate((*CALLS, "OTHER-1", "OTHER-2")):
        mine = call_id in CALLS
        path = folder / "audio" / f"{call_id}.wav"
        write_call(path, track([0.5], 4.0, pitch_hz=120 + 20 * number))
        changes = {"customer_id": CUSTOMER if mine else OTHER, "audio_uri": f"audio/{path.name}"}
        rows.append(call_row(call_id, **changes))
        words = words_at(SAID if mine else OTHERS_SAID, 0.5)
        said.append((call_id, 1, words_json(words)))
    url = f"sqlite:///{folder / 'business.sqlite'}"
    fill(url, rows, said, customers=(CUSTOMER, OTHER))
    config = run_config(
        folder, url, tracking={"url": "off"}, recognition={"texts": True, "reuse_corpus": True}
    )
    make_bundle(config.bundle_dir)
    build_corpus(config, SilentProgress())
    recognize_archive(config, SilentProgress())
    _train(config)
    return config


def copied(config: RunConfig, workspace: Path) -> RunConfig:
    """The same in another folder, with what annotators and services leave in the store."""
    shutil.copytree(config.workspace, workspace)
    config = config.model_copy(update={"workspace": workspace})
    with open_audited(config) as store:
        _annotate(store)
        _serve(config, store)
    return config


def _train(config: RunConfig) -> None:
    """Caches, units, lineage and a report as training and evaluation leave them."""
    corpus = CorpusDataset.open(config.corpus_dir)
    infos = list(corpus.infos())
    vectors = {corpus.digest(info.clip_id): np.ones(4, np.float32) for info in infos}
    VectorCache(config.vectors_dir).add("key", vectors)
    frames = {name: ClipFrames(torch.ones(3, 2), 800) for name in vectors}
    FrontCache(config.vectors_dir / "front").add("key", frames)
    key = UnitsKey.model_construct(
        features="mfcc",
        layer=0,
        clusters=2,
        sampled_frames=1,
        seed=0,
        encoder="",
        rate_hz=8000,
        window=1,
        stride=1,
        source_hz=8000,
        longest_s=1.0,
        corpus=corpus.fingerprint,
        clips="",
        format_version=1,
    )
    units = ((info.clip_id, np.zeros(3, np.uint16)) for info in infos)
    write_units(units_dir(config.corpus_dir, key), key, np.zeros((2, 2), np.float32), units)
    heard = [Heard(info.clip_id, info.customer_id, Use.TRAIN, "red") for info in infos]
    folder = config.encoder_dir("text")
    folder.mkdir(parents=True)
    Lineage.of(heard).write(folder)
    (config.workspace / "report.html").write_text(f"<td>{CALLS[0]}</td><q>{SAID}</q>")
    (config.workspace / "category").mkdir()
    (config.workspace / "category" / "report.json").write_text('{"said": "nobody"}')
    checkpoint = config.workspace / "training" / "ended" / "weights"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    os.utime(checkpoint, (0, 0))
    draft = config.workspace / ".report.json.00000000-999999-00000000-0.draft"
    draft.write_text(SAID)
    os.utime(draft, (0, 0))


def _annotate(store: Store) -> None:
    store.annotations.save(
        [
            Annotation(annotator="wang", label="red", clip_id="c1", customer_id=CUSTOMER),
            Annotation(
                annotator="wang", label="red", call_id=CALLS[1], start_s=0.5, end_s=2.5, note=SAID
            ),
            Annotation(annotator="wang", label="blue", clip_id="c2", customer_id=OTHER),
        ]
    )
    dealt = Assignment(CUSTOMER, CUSTOMER, Split.TRAIN, "red")
    store.splits.extend("salt", "customer", lambda _: [dealt])


def _serve(config: RunConfig, store: Store) -> None:
    live = store.live_calls.open("desk", LIVE, {}, CUSTOMER)
    store.live_calls.settle(live, {"at": 1}, 0, [f'{{"text": "{SAID}"}}'])
    decide(store, begin(store, "ann", "as-1", CUSTOMER))
    decide(store, begin(store, "ann", "as-2", OTHER))
    upload = config.workspace / "jobs" / "j1" / "0"
    upload.parent.mkdir(parents=True)
    upload.write_bytes(f"sound of {LIVE}".encode())
    calls = [JobCall(LIVE, str(upload), 0, uploaded=True), JobCall(f"{CALLS[0]}.wav", "x", 0)]
    store.jobs.create("j1", "desk", calls, NOW)
    new = NewCall(
        user_id=USER,
        call_id="s1",
        number=NUMBER,
        channel="phone",
        at=NOW,
        decision="hear",
        source={},
    )
    call, _ = store.screened_calls.hand_over(new)
    place = f"screening/recordings/{call.ref[:2]}/{call.ref}"
    store.screened_calls.recorded(call, place)
    recording = config.workspace / place / "call.ogg"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(f"voice of {NUMBER}".encode())


def found(workspace: Path, needles: dict[str, bytes | str]) -> set[str]:
    """Files of a workspace in whose name, bytes, Parquet columns or database rows any needle
    stands: "path: needle"."""
    hits = set()
    for path in sorted(workspace.rglob("*")):
        if not path.is_file():
            continue
        inside = str(path.relative_to(workspace))
        contents = [inside.encode(), *_contents(path)]
        for name, needle in needles.items():
            sought = needle.encode() if isinstance(needle, str) else needle
            if any(sought in content for content in contents):
                hits.add(f"{inside}: {name}")
    return hits


def _contents(path: Path) -> Iterator[bytes]:
    yield path.read_bytes()
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        yield repr(table.to_pylist()).encode()
        for column in table.columns:
            for value in column.to_pylist():
                if isinstance(value, bytes):
                    yield value
    if path.name.endswith(".sqlite"):
        yield repr(list(_rows(path))).encode()


def _rows(path: Path) -> Iterator[Any]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (name,) in names:
            yield name, database.execute(f'SELECT * FROM "{name}"').fetchall()
    finally:
        database.close()
