"""The index of voiceprints against a full comparison, while it grows, changes and forgets."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from persona_ray.inference.screening import voice_index
from persona_ray.inference.screening.voice_index import ExactIndex, VoiceIndex, build_index

SIZE = 32


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float32]:
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def _voices(count: int, seed: int = 0, spread: float = 0.3) -> NDArray[np.float16]:
    """As voiceprints are: not negative, and more alike than random vectors."""
    random = np.random.default_rng(seed)
    around = random.random(SIZE) + spread * random.standard_normal((count, SIZE))
    return _unit(np.maximum(around, 0) + 1e-3).astype(np.float16)


def _nearest(vectors: NDArray[np.float16], query: NDArray[np.float32], count: int) -> list[str]:
    cosines = vectors.astype(np.float32) @ query
    return [str(row) for row in np.argsort(-cosines, kind="stable")[:count]]


def _loaded(vectors: NDArray[np.float16]) -> ExactIndex:
    index = ExactIndex(SIZE)
    index.load([str(row) for row in range(len(vectors))], vectors)
    return index


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small indices are scanned as large ones are, in several blocks."""
    monkeypatch.setattr(voice_index, "_PLAIN", 50)
    monkeypatch.setattr(voice_index, "_BLOCK", 1024)
    monkeypatch.setattr(voice_index, "_GROUP", 64)


@pytest.mark.usefixtures("scanned")
@pytest.mark.parametrize("spread", [0.001, 0.05, 0.3, 5.0])
@pytest.mark.parametrize("count", [1, 10, 200])
def test_the_nearest_are_those_of_a_full_comparison(spread: float, count: int) -> None:
    vectors = _voices(5000, spread=spread)
    index = _loaded(vectors)
    queries = _voices(20, seed=1, spread=spread).astype(np.float32)
    for query in queries:
        found = index.search(query, count)
        cosines = np.sort(vectors.astype(np.float32) @ query)[::-1][:count]
        assert [neighbour.cosine for neighbour in found] == pytest.approx(cosines, abs=1e-6)
        assert len({neighbour.voice_id for neighbour in found}) == count


@pytest.mark.usefixtures("scanned")
def test_vectors_unlike_all_before_are_found_all_the_same() -> None:
    vectors = _voices(2000, spread=0.01)
    index = _loaded(vectors)
    far = _unit(np.eye(SIZE)).astype(np.float16)
    for row, vector in enumerate(far):
        index.put(f"far{row}", vector)
    for row, vector in enumerate(far):
        assert index.search(vector.astype(np.float32), 1)[0].voice_id == f"far{row}"


Step = tuple[str, int, int]
steps = st.lists(
    st.tuples(st.sampled_from(["put", "remove"]), st.integers(0, 150), st.integers(0, 10**6)),
    max_size=300,
)


@pytest.mark.usefixtures("scanned")
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_after_any_changes_the_index_holds_what_was_put_and_not_removed(done: list[Step]) -> None:
    index = _loaded(_voices(100))
    held = {str(row): vector for row, vector in enumerate(_voices(100))}
    for what, voice, seed in done:
        if what == "put":
            held[str(voice)] = _voices(1, seed)[0]
            index.put(str(voice), held[str(voice)])
        else:
            held.pop(str(voice), None)
            index.remove(str(voice))
    assert len(index) == len(held)
    query = _voices(1, 7)[0].astype(np.float32)
    found = index.search(query, len(held) + 5)
    assert {neighbour.voice_id for neighbour in found} == held.keys()
    for neighbour in found:
        exact = float(held[neighbour.voice_id].astype(np.float32) @ query)
        assert neighbour.cosine == pytest.approx(exact, abs=1e-6)
    if held:
        names = sorted(held)
        assert np.array_equal(index.vectors(names), np.stack([held[n] for n in names]))


@pytest.mark.usefixtures("scanned")
@pytest.mark.usefixtures("scanned")
def test_a_voice_that_comes_after_many_does_not_copy_them() -> None:
    index = _loaded(_voices(1000))
    held = index.memory_bytes
    index.put("new", _voices(1, seed=7)[0])
    assert (len(index), index.memory_bytes) == (1001, held)


def test_a_forgotten_voice_is_overwritten_in_memory() -> None:
    index = _loaded(_voices(100))
    mark = _unit(np.eye(SIZE))[3].astype(np.float16)
    index.put("mark", mark)
    index.remove("mark")
    assert not np.any(np.all(index._exact == mark, axis=1))
    index.put("5", mark)
    index.remove("5")
    assert not np.any(np.all(index._exact == mark, axis=1))


def test_an_empty_index_finds_nothing_and_removes_nothing() -> None:
    index = ExactIndex(SIZE)
    index.remove("nobody")
    assert index.search(_voices(1)[0].astype(np.float32), 3) == []
    with pytest.raises(KeyError):
        index.vectors(["nobody"])


def test_a_voice_may_not_come_twice() -> None:
    with pytest.raises(ValueError, match="two vectors"):
        ExactIndex(SIZE).load(["a", "a"], _voices(2))


@pytest.mark.usefixtures("scanned")
def test_searches_and_changes_at_once_see_whole_vectors() -> None:
    index = _loaded(_voices(3000))
    query = _voices(1, 9)[0].astype(np.float32)
    failures: list[BaseException] = []

    def change() -> None:
        for round_ in range(150):
            index.put(f"new{round_}", _voices(1, round_)[0])
            index.remove(f"new{round_ - 3}")

    def search() -> None:
        try:
            for _ in range(150):
                assert all(-0.01 <= n.cosine <= 1.01 for n in index.search(query, 5))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for work in (change, search, search)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_the_approximate_index_finds_nearly_all() -> None:
    pytest.importorskip("usearch", reason="the optional package usearch is not installed")
    index: VoiceIndex = build_index("usearch", SIZE)
    vectors = _voices(2000)
    index.load([str(row) for row in range(2000)], vectors)
    index.remove("0")
    index.put("new", vectors[0])
    found = {neighbour.voice_id for neighbour in index.search(vectors[0].astype(np.float32), 5)}
    assert "new" in found
    assert "0" not in found
    queries = _voices(50, 3).astype(np.float32)
    hits = sum(
        len({n.voice_id for n in index.search(query, 10)} & set(_nearest(vectors, query, 10)))
        for query in queries
    )
    assert hits >= 0.98 * 500
