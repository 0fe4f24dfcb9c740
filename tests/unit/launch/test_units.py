"""Units of a corpus, plain: computed once, by what matters, from the frames that are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from persona_ray.audio.frames import heard
from persona_ray.corpus.units import UnitStore
from persona_ray.launch import units as launch_units
from persona_ray.launch.units import NOTES, note_units, noted_units, prepare_units
from persona_ray.models.speech import SpeechEncoder
from persona_ray.objectives.clustering import find_centres, nearest
from persona_ray.progress import SilentProgress
from tests.unit.models.checkpoints import FAMILIES, speech_checkpoint
from tests.unit.objectives.speech_toys import Melodies, clip_infos, fingerprint, run_config

INFOS = clip_infos([600 + 91 * (n % 13) for n in range(70)])
SOURCE = Melodies()


def prepared(folder: Path, path: str = "", fresh: bool = False, **iteration: Any) -> UnitStore:
    config = run_config(folder, iterations=[{"clusters": 8, **iteration}])
    return prepare_units(
        config, 0, path, INFOS, SOURCE, fingerprint(INFOS), SilentProgress(), fresh
    )


def test_units_are_those_of_the_blocks_output(tmp_path: Path) -> None:
    """8 kHz clips through a 16 kHz encoder, one by one here and in batches there."""
    path = str(speech_checkpoint(tmp_path / "hubert", FAMILIES[1]))
    store = prepared(tmp_path, path, features="layer", layer=2)
    encoder = SpeechEncoder.load(path).eval()
    agreeing = []
    for info in INFOS[::7]:
        wave = torch.tensor(heard(SOURCE.samples(info.clip_id), 8_000, 16_000, 12.0))
        with torch.inference_mode():
            blocks, _ = encoder(wave[None], torch.tensor([len(wave)]))
        units = store.units(info.clip_id)
        assert len(units) == blocks.shape[2]
        agreeing.append(units == nearest(blocks[0, 1].numpy(), store.centres()))
    # A frame between two centres may fall to either side by rounding.
    assert np.mean(np.concatenate(agreeing)) > 0.999


def test_they_are_computed_once_and_again_when_something_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(tmp_path)
    assert first.info.clips == 70
    assert first.info.used > 0.5
    # MFCC need no more of an encoder than where its frames lie.
    other = speech_checkpoint(tmp_path / "hubert", FAMILIES[0])
    assert prepared(tmp_path, str(other)).version != first.version

    def never(*_: Any) -> None:
        raise AssertionError("computed again")

    with monkeypatch.context() as patch:
        patch.setattr(launch_units, "find_centres", never)
        assert prepared(tmp_path).info == first.info
    modified = (first.path / "units.parquet").stat().st_mtime_ns
    again = prepared(tmp_path, fresh=True)
    assert (again.path / "units.parquet").stat().st_mtime_ns > modified
    assert again.info == first.info


def test_mfcc_units_outlive_new_weights_and_those_of_layers_do_not(tmp_path: Path) -> None:
    folder = tmp_path / "hubert"
    versions = []
    for spread in (0.3, 0.2):
        path = str(speech_checkpoint(folder, FAMILIES[0], initializer_range=spread))
        versions.append(
            (
                prepared(tmp_path, path).version,
                prepared(tmp_path, path, features="layer", layer=1).version,
            )
        )
    assert versions[0][0] == versions[1][0]
    assert versions[0][1] != versions[1][1]


def test_few_sampled_frames_come_from_few_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def watched(frames: np.ndarray, clusters: int, seed: int) -> Any:
        seen.append(len(frames))
        return find_centres(frames, clusters, seed)

    read: list[str] = []
    samples = Melodies.samples

    def counted(self: Melodies, clip_id: str) -> Any:
        read.append(clip_id)
        return samples(self, clip_id)

    monkeypatch.setattr(launch_units, "find_centres", watched)
    monkeypatch.setattr(Melodies, "samples", counted)
    store = prepared(tmp_path, sampled_frames=200)
    assert seen == [200]
    # Five clips or so for the centres, then each once.
    assert 70 + 3 <= len(read) <= 70 + 9
    assert store.info.clips == 70


def test_a_kill_while_a_note_is_written_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(tmp_path, iterations=[{"clusters": 8}])
    info = prepared(tmp_path).info
    note_units(config, "first", info)

    def killed(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            note_units(config, "second", info)
    assert noted_units(config) == {"first": info}
    assert [file.name for file in (config.workspace / NOTES).parent.iterdir()] == ["units.json"]
    note_units(config, "second", info)
    assert noted_units(config) == {"first": info, "second": info}
