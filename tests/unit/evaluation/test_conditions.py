"""Where clips fall, from what the corpus and planted truth know of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from persona_ray.audio.coding import encode_flac
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.records import EncodedClip, clip_id
from persona_ray.errors import ArchiveError
from persona_ray.evaluation.conditions import band, clip_conditions, codec
from persona_ray.synth.truth import CALLS, TruthCall, write_records
from persona_ray.types import ClipInfo
from tests.unit.audio.test_tone import in_noise
from tests.unit.corpus.calls import voice
from tests.unit.corpus.folders import write_corpus


def clip(
    call: int, start_s: float, length_s: float, pitch_hz: float, flags: tuple[str, ...] = ()
) -> EncodedClip:
    call_id = f"call-{call:03d}"
    info = ClipInfo(
        clip_id=clip_id(call_id, 1, start_s, start_s + length_s),
        call_id=call_id,
        customer_id=f"customer-{call // 2}",
        channel=1,
        start_s=start_s,
        end_s=start_s + length_s,
        text="我想问一下这个产品的收益",
        scene="fund" if call else "",
        facts={"sex": "female"} if call else {},
        flags=flags,
    )
    return EncodedClip(info, encode_flac(voice(length_s, pitch_hz), 8000))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> CorpusDataset:
    clips = [
        clip(0, 1.0, 2.0, 120),
        # Of the same customer: the median of the three is what counts.
        clip(1, 1.0, 4.5, 130, ("mulaw", "rescaled")),
        clip(1, 9.0, 3.0, 300, ("mulaw", "rescaled")),
        clip(2, 1.0, 7.0, 250, ("channel_swapped", "converted_rate")),
    ]
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus", clips)


def found_in(dataset: CorpusDataset, **options: object) -> list[dict[str, str]]:
    ids = [info.clip_id for info in dataset.infos()]
    found = clip_conditions(dataset, ids, **options)  # type: ignore[arg-type]
    return [{c.dimension: c.value for c in found[name]} for name in ids]


def test_each_clip_falls_where_it_was_recorded(dataset: CorpusDataset) -> None:
    first, second, third, last = found_in(dataset)
    assert "scene" not in first
    assert [row["scene"] for row in (second, third, last)] == ["fund"] * 3
    assert [row["codec"] for row in (first, second)] == ["ogg", "unknown mulaw"]
    lengths = [row["clip length"] for row in (first, second, third, last)]
    assert lengths == ["under 3 s", "4 to 6 s", "3 to 4 s", "6 s and over"]
    assert [row["call condition"] for row in (first, second, last)] == [
        "as recorded",
        "rescaled",
        "channel swapped, converted rate",
    ]
    voices = [row["voice (median pitch)"] for row in (first, second, third, last)]
    assert voices == ["under 165 Hz"] * 3 + ["220 Hz and over"]


@pytest.mark.parametrize(("snr_db", "name"), [(8, "under 15 dB"), (90, "40 dB and over")])
def test_noise_is_measured(snr_db: float, name: str, tmp_path: Path) -> None:
    sound = in_noise(voice(3.0), snr_db)
    noisy = EncodedClip(clip(1, 1.0, 3.0, 120).info, encode_flac(sound, 8000))
    (row,) = found_in(write_corpus(tmp_path, [noisy]))
    assert row["speech over background"] == name


def test_facts_are_broken_down_by_only_where_they_are_named(dataset: CorpusDataset) -> None:
    assert not any("sex" in row for row in found_in(dataset))
    assert [row.get("sex") for row in found_in(dataset, facts=["sex", "age_band"])] == [
        None,
        *["female"] * 3,
    ]


def test_planted_dirt_is_a_condition_of_synthetic_calls(
    dataset: CorpusDataset, tmp_path: Path
) -> None:
    plain = TruthCall("call-000", "customer-0", "A1", "red", "blue", (), 1, "ok", None)
    dirty = {**asdict(plain), "call_id": "call-001", "dirt": ("overlap", "noise")}
    write_records(tmp_path / "truth" / CALLS, [plain, TruthCall(**dirty)])
    for folder in (tmp_path, tmp_path / "truth"):
        rows = found_in(dataset, truth=str(folder))
        assert [row["planted dirt"] for row in rows] == ["none", *["noise, overlap"] * 2, "none"]
    with pytest.raises(ArchiveError, match="no planted truth"):
        found_in(dataset, truth=str(tmp_path / "elsewhere"))


def test_only_the_clips_that_are_asked_for_are_read(dataset: CorpusDataset) -> None:
    ids = [info.clip_id for info in dataset.infos()]
    assert set(clip_conditions(dataset, ids[1:3])) == set(ids[1:3])


def test_bands_and_codecs_have_names() -> None:
    values = [band("x", value, (3.0, 4.5), "s") for value in (0.0, 2.99, 3.0, 4.49, 4.5, 100.0)]
    assert [found.value for found in values] == [
        *["under 3 s"] * 2,
        *["3 to 4.5 s"] * 2,
        *["4.5 s and over"] * 2,
    ]
    assert [found.rank for found in values] == [0, 0, 1, 1, 2, 2]
    assert codec("s3://calls/2026/a.WAV?version=3", ("alaw", "rescaled")) == "wav alaw"
    assert codec("calls/no-suffix", ()) == "unknown"
