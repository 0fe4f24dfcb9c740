"""Units beside the clips: what is written comes back, and nothing foreign or damaged does."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from persona_ray.corpus.units import UnitsKey, UnitStore, clips_fingerprint, units_dir, write_units
from persona_ray.errors import CorpusError

KEY = UnitsKey(
    features="layer",
    layer=2,
    clusters=300,
    sampled_frames=1000,
    seed=0,
    encoder="e",
    rate_hz=16_000,
    window=400,
    stride=320,
    source_hz=8_000,
    longest_s=12.0,
    corpus="c",
    clips="i",
)
CENTRES = np.random.default_rng(0).random((300, 4), np.float32)
Row = tuple[str, np.ndarray[tuple[int], np.dtype[np.uint16]]]


def rows(count: int) -> list[Row]:
    rng = np.random.default_rng(1)
    return [
        (f"clip-{n}", rng.integers(0, 300, rng.integers(1, 90)).astype(np.uint16))
        for n in range(count)
    ]


@pytest.fixture
def store(tmp_path: Path) -> UnitStore:
    return write_units(units_dir(tmp_path, KEY), KEY, CENTRES, rows(600))


def test_what_is_written_comes_back_in_any_order_and_process(
    store: UnitStore, tmp_path: Path
) -> None:
    assert store.path.parent == tmp_path / "units"
    opened = UnitStore.open(store.path, KEY)
    assert opened.info == store.info
    assert len(opened) == 600
    again = pickle.loads(pickle.dumps(opened))
    written = rows(600)
    for number in np.random.default_rng(2).permutation(600).tolist():
        clip_id, units = written[number]
        for one in (opened, again):
            found = one.units(clip_id)
            assert found.dtype == np.uint16
            np.testing.assert_array_equal(found, units)
    np.testing.assert_array_equal(again.centres(), CENTRES)
    with pytest.raises(KeyError, match="no units of clip clip-600"):
        opened.units("clip-600")


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(arrays(np.uint16, st.integers(1, 30), elements=st.integers(0, 299)), min_size=1))
def test_usage_is_counted(tmp_path: Path, units: list[np.ndarray]) -> None:
    named = [(str(number), part) for number, part in enumerate(units)]
    info = write_units(tmp_path / "any", KEY, CENTRES, named).info
    everything = np.concatenate(units)
    counts = np.bincount(everything)
    assert (info.frames, info.clips) == (len(everything), len(units))
    assert info.used == pytest.approx(len(np.unique(everything)) / 300)
    assert info.most_common == pytest.approx(counts.max() / len(everything))
    assert 1 - 1e-9 <= info.perplexity <= len(np.unique(everything)) + 1e-6


def test_evenly_used_units_have_a_perplexity_of_their_number(tmp_path: Path) -> None:
    even = [("a", np.arange(300, dtype=np.uint16)), ("b", np.arange(300, dtype=np.uint16))]
    info = write_units(tmp_path / "even", KEY, CENTRES, even).info
    assert info.perplexity == pytest.approx(300)
    assert "300 units of block 2: 100% used, perplexity 300.0" in str(info)


def test_the_version_changes_with_everything() -> None:
    changed = {
        "features": "mfcc", "layer": 3, "clusters": 2, "sampled_frames": 5, "seed": 1,
        "encoder": "x", "rate_hz": 8_000, "window": 1, "stride": 1, "source_hz": 1,
        "longest_s": 1.0, "corpus": "x", "clips": "x", "format_version": 0,
    }  # fmt: skip
    assert set(changed) == set(UnitsKey.model_fields)
    versions = {KEY.model_copy(update={n: v}).version for n, v in changed.items()}
    assert len(versions | {KEY.version}) == len(changed) + 1
    assert clips_fingerprint(["ab", "c"]) != clips_fingerprint(["a", "bc"])


def test_foreign_units_are_refused(store: UnitStore) -> None:
    other = KEY.model_copy(update={"clusters": 50, "encoder": "f"})
    with pytest.raises(CorpusError, match="clusters 300 instead of 50, encoder e instead of f"):
        UnitStore.open(store.path, other)


@pytest.mark.parametrize("name", ["units.parquet", "codebook.safetensors", "units.json"])
def test_damage_is_named(store: UnitStore, name: str) -> None:
    file = store.path / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(CorpusError, match=rf"{name.replace('.', '[.]')} are damaged"):
        UnitStore.open(store.path)
    file.unlink()
    with pytest.raises(CorpusError, match=r"damaged|holds no units"):
        UnitStore.open(store.path)


def test_another_format_is_refused(store: UnitStore) -> None:
    file = store.path / "units.json"
    tree = json.loads(file.read_text())
    tree["key"]["format_version"] = 99
    file.write_text(json.dumps(tree))
    with pytest.raises(CorpusError, match="format 99, this program reads 1"):
        UnitStore.open(store.path)


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[Row]:
        yield from rows(300)
        raise RuntimeError("power")

    with pytest.raises(RuntimeError, match="power"):
        write_units(tmp_path / "units" / "v", KEY, CENTRES, broken())
    assert list((tmp_path / "units").iterdir()) == []
    with pytest.raises(CorpusError, match="holds no units"):
        UnitStore.open(tmp_path / "units" / "v")


def test_few_row_groups_are_held(store: UnitStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from persona_ray.corpus import units

    monkeypatch.setattr(units, "_CACHED_GROUPS", 1)
    opened = UnitStore.open(store.path)
    for clip_id, _ in rows(600)[::100]:
        opened.units(clip_id)
    assert opened._group.cache_info().currsize == 1
