"""The corpus job in this process: what it builds, how it grows, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import sqlalchemy

from persona_ray.config import RunConfig
from persona_ray.corpus import pipeline
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.pipeline import CorpusSummary, build_corpus
from persona_ray.corpus.worker import CallWorker
from persona_ray.errors import ArchiveError, CorpusError
from persona_ray.types import CallStatus, QuarantineReason
from tests.unit.corpus.business import call_row, fill
from tests.unit.corpus.calls import SENTENCES, make_archive, run_config
from tests.unit.corpus.folders import digests


def no_recogniser(_: object) -> object:
    raise AssertionError("every call has a transcript: the recogniser must not be loaded")


def build(config: RunConfig, fresh: bool = False) -> CorpusSummary:
    return build_corpus(config, fresh=fresh, build=no_recogniser)  # type: ignore[arg-type]


def test_a_build_keeps_every_call_and_says_what_became_of_it(tmp_path: Path) -> None:
    config = run_config(tmp_path, make_archive(tmp_path, 23))
    summary = build(config)
    assert (summary.new_calls, summary.recognised) == (23, 0)
    assert summary.audio_s == pytest.approx(19 * 6.5)
    assert summary.audio_s_per_s > 1
    corpus = CorpusDataset.open(config.corpus_dir)
    calls = list(corpus.calls())
    assert [call.call_id for call in calls] == [f"call-{n:05d}" for n in range(23)]
    for number, call in enumerate(calls):
        absent = number % 5 == 4
        assert call.status is (CallStatus.QUARANTINED if absent else CallStatus.OK)
        assert call.reason is (QuarantineReason.UNREADABLE if absent else None)
        assert call.clips == (0 if absent else 2)
    infos = list(corpus.infos())
    assert [info.text for info in infos[:4]] == [SENTENCES[n] for n in (0, 3, 1, 0)]
    places = [(info.call_id, info.start_s) for info in infos]
    assert places == sorted(places)
    assert len({info.clip_id for info in infos}) == len(infos) == len(corpus) == 38
    assert [shard.rows for shard in corpus.manifest.clip_shards] == [16, 16, 6]
    corpus.verify()
    counts = summary.manifest.counts
    assert (counts["calls"], counts["calls_ok"], counts["clips"]) == (23, 19, 38)
    assert counts["quarantined_unreadable"] == 4
    with (config.corpus_dir / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["call_id"] for row in rows] == [f"call-{n:05d}" for n in (4, 9, 14, 19)]
    assert rows[0]["customer_id"] == "customer-1"
    assert rows[0]["audio_uri"] == "audio/absent.wav"
    assert rows[0]["reason"] == "unreadable"
    assert "absent.wav" in rows[0]["detail"]
    # Nothing is left of the work, and nothing of this machine or moment is in the data set.
    kept = {path.split("-")[0].split(".")[0] for path in digests(config.corpus_dir)}
    assert kept == {"calls", "clips", "corpus", "quarantine"}
    text = (config.corpus_dir / "corpus.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text
    assert json.loads(text)["settings"]["cut"]["min_chars"] == 10


def test_the_same_archive_gives_the_same_bytes(tmp_path: Path, postgres_url: str) -> None:
    url = make_archive(tmp_path, 12)
    config = run_config(tmp_path, url)
    build(config)
    elsewhere = run_config(tmp_path, url, name="again")
    build(elsewhere)
    assert digests(config.corpus_dir) == digests(elsewhere.corpus_dir)
    make_archive(tmp_path, 12, url=postgres_url)
    other = run_config(tmp_path, postgres_url, name="postgres")
    build(other)
    assert digests(config.corpus_dir) == digests(other.corpus_dir)


def test_new_calls_make_new_shards_and_old_ones_stay(tmp_path: Path) -> None:
    url = make_archive(tmp_path, 20)
    config = run_config(tmp_path, url)
    first = build(config)
    before = digests(config.corpus_dir)
    again = build(config)
    assert (again.new_calls, again.manifest) == (0, first.manifest)
    assert again.audio_s_per_s == 0
    assert digests(config.corpus_dir) == before
    # Between the old ones, so that order alone does not tell new from old.
    fill(url, [call_row(f"call-{n:05d}-b", audio_uri="audio/absent.wav") for n in (3, 7)])
    make_archive(tmp_path, 4, first=20)
    grown = build(config)
    assert grown.new_calls == 6
    after = digests(config.corpus_dir)
    assert {name: after[name] for name in before if name.endswith(".parquet")} == {
        name: digest for name, digest in before.items() if name.endswith(".parquet")
    }
    assert {"clips-00002.parquet", "calls-00001.parquet"} <= set(after) - set(before)
    corpus = CorpusDataset.open(config.corpus_dir)
    assert len(list(corpus.calls())) == 26 == grown.count("calls")
    assert corpus.manifest.generation == 2
    assert corpus.fingerprint != first.manifest.fingerprint
    lines = (config.corpus_dir / "quarantine.csv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + grown.count("calls_quarantined")


def test_a_worker_that_ends_early_loses_no_call_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_archive(tmp_path, 15)
    whole = run_config(tmp_path, url)
    build(whole)
    broken = run_config(tmp_path, url, name="broken")
    done: list[str] = []
    finish = CallWorker.finish

    def failing(self: CallWorker, call: object) -> object:
        if len(done) % 6 == 5:
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(call.call_id)  # type: ignore[attr-defined]
        return finish(self, call)  # type: ignore[arg-type]

    monkeypatch.setattr(CallWorker, "finish", failing)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            build(broken)
        with pytest.raises(CorpusError, match="holds no finished corpus"):
            CorpusDataset.open(broken.corpus_dir)
    monkeypatch.setattr(CallWorker, "finish", finish)
    assert build(broken).new_calls == 5
    assert sorted(done) == [f"call-{n:05d}" for n in range(10)] + ["stopped"] * 2
    assert digests(broken.corpus_dir) == digests(whole.corpus_dir)


@pytest.mark.parametrize("at", ["first shard", "manifest", "staging"])
def test_a_stop_while_shards_are_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    from persona_ray.corpus import compaction, shards
    from persona_ray.corpus.staging import Staging

    url = make_archive(tmp_path, 15)
    whole = run_config(tmp_path, url)
    build(whole)
    broken = run_config(tmp_path, url, name="broken")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if at == "first shard":
            patch.setattr(shards, "sha256_file", stop)
        elif at == "manifest":
            patch.setattr(compaction, "write_manifest", stop)
        else:
            patch.setattr(Staging, "remove", stop)
        with pytest.raises(KeyboardInterrupt):
            build(broken)
    again = build(broken)
    assert again.new_calls == 0
    assert digests(broken.corpus_dir) == digests(whole.corpus_dir)


def test_changed_settings_are_refused_until_the_build_is_fresh(tmp_path: Path) -> None:
    url = make_archive(tmp_path, 6)
    build(run_config(tmp_path, url))
    stricter = run_config(tmp_path, url, cut={"min_chars": 15}, vad={"pad_s": 0.1})
    with pytest.raises(CorpusError) as caught:
        build(stricter)
    message = str(caught.value)
    assert "cut.min_chars 10 -> 15; vad.pad_s 0.08 -> 0.1" in message
    assert "--fresh" in message
    assert "another workspace" in message
    assert build(stricter, fresh=True).count("dropped_short") > 0
    # What does not touch the clips may change at any time.
    faster = run_config(
        tmp_path, url, cut={"min_chars": 15}, vad={"pad_s": 0.1}, asr={"threads": 4}
    )
    assert build(faster).new_calls == 0


def test_an_unfinished_build_of_other_settings_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_archive(tmp_path, 6)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "compact", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            build(run_config(tmp_path, url))
    stricter = run_config(tmp_path, url, cut={"min_chars": 15})
    with pytest.raises(CorpusError, match=r"unfinished corpus .*\(cut\.min_chars 10 -> 15\)"):
        build(stricter)
    assert build(stricter, fresh=True).new_calls == 6


def test_a_build_killed_before_it_noted_its_settings_is_no_obstacle(tmp_path: Path) -> None:
    config = run_config(tmp_path, make_archive(tmp_path, 2))
    (config.corpus_dir / "staging" / "0123456789abcdef-0000").mkdir(parents=True)
    assert build(config).new_calls == 2
    assert not (config.corpus_dir / "staging").exists()


def test_two_builds_do_not_share_a_folder(tmp_path: Path) -> None:
    from persona_ray.corpus.building import open_build

    config = run_config(tmp_path, make_archive(tmp_path, 2))
    with open_build(config), pytest.raises(CorpusError, match="another build is at work"):
        build(config)
    assert build(config).new_calls == 2


def test_a_lost_shard_stops_the_build_before_any_work(tmp_path: Path) -> None:
    config = run_config(tmp_path, make_archive(tmp_path, 3))
    build(config)
    (config.corpus_dir / "clips-00000.parquet").unlink()
    make_archive(tmp_path, 2, first=3)
    with pytest.raises(CorpusError, match=r"clips-00000\.parquet is missing"):
        build(config)


def test_no_calls_are_an_error_in_one_line(tmp_path: Path) -> None:
    url = make_archive(tmp_path, 0)
    with pytest.raises(ArchiveError, match="gives no calls"):
        build(run_config(tmp_path, url))
    assert not (tmp_path / "run" / "corpus" / "corpus.json").exists()


def test_nothing_but_bad_rows_is_a_corpus_of_its_quarantine(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'business.sqlite'}"
    fill(url, [call_row(None), call_row("c1", customer_channel="left")])
    config = run_config(tmp_path, url, archive={"query": "SELECT * FROM calls"})
    summary = build(config)
    assert summary.count("calls_quarantined") == summary.count("quarantined_bad_row") == 2
    corpus = CorpusDataset.open(config.corpus_dir)
    assert list(corpus.infos()) == []
    assert len(list(corpus.calls())) == 2
    assert build(config).new_calls == 0


def test_odd_call_ids_are_safe_file_names(tmp_path: Path) -> None:
    ids = ["../../up", "a/b", ".hidden", "A1", "a1", "长" * 200, "长" * 199 + "x", "c:\\d", "x~y"]
    url = f"sqlite:///{tmp_path / 'business.sqlite'}"
    fill(url, [call_row(call_id, audio_uri="none.wav") for call_id in ids])
    config = run_config(tmp_path, url)
    assert build(config).new_calls == len(ids)
    found = [call.call_id for call in CorpusDataset.open(config.corpus_dir).calls()]
    assert found == sorted(ids)
    assert build(config).new_calls == 0
    outside = [path for path in tmp_path.iterdir() if path.name not in ("run", "business.sqlite")]
    assert outside == []


def test_a_summary_is_a_table_for_people(tmp_path: Path) -> None:
    from rich.console import Console

    from persona_ray.cli.tables import print_corpus

    summary = build(run_config(tmp_path, make_archive(tmp_path, 6)))
    console = Console(record=True, width=100, file=(tmp_path / "out").open("w"))
    print_corpus(summary, console)
    text = console.export_text()
    for part in ("quarantined: unreadable", "audio seconds per second", "6 (0 recognised)"):
        assert part in text


def test_a_broken_database_in_the_middle_keeps_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from persona_ray.corpus.archive import CallArchive
    from persona_ray.errors import QueryError

    url = make_archive(tmp_path, 20)
    config = run_config(tmp_path, url)
    run, pages = CallArchive._run, []

    def failing(self: CallArchive, connection: object, statement: object) -> object:
        pages.append(1)
        if len(pages) > 4:
            error = sqlalchemy.exc.OperationalError("SELECT", {}, Exception("server closed"))
            raise self._failed(error)
        return run(self, connection, statement)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(CallArchive, "_run", failing)
        with pytest.raises(QueryError, match="server closed"):
            build(config)
    assert 0 < build(config).new_calls < 20
    assert len(list(CorpusDataset.open(config.corpus_dir).calls())) == 20
