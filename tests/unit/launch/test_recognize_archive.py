"""The whole archive in this process: what it gives, how it goes on, what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from persona_ray.config import RunConfig, write_config
from persona_ray.errors import ArchiveError, BundleError, CorpusError, ModelError
from persona_ray.inference.clips import combine
from persona_ray.inference.personality import PersonalityRecognizer
from persona_ray.launch.archive import folder, results
from persona_ray.launch.archive.worker import ArchiveWorker
from persona_ray.models.manifest import digest
from persona_ray.store import open_store
from persona_ray.types import CallStatus, QuarantineReason, Recognition
from tests.unit.corpus.folders import digests
from tests.unit.launch.recognised import (
    ABSENT,
    BAD,
    CALLS,
    SHORT,
    SILENT,
    call_id,
    configured,
    make_calls,
    recognise,
    rows,
    shares,
)

SOUND = [n for n in range(CALLS) if n not in (*ABSENT, SILENT, SHORT, BAD)]


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return configured(tmp_path, make_calls(tmp_path))


def test_every_call_has_a_result_or_a_reason(config: RunConfig) -> None:
    found = recognise(config)
    assert found.run.new_calls == CALLS
    calls = rows(found, "calls")
    assert [row["call_id"] for row in calls] == [call_id(n) for n in range(CALLS)]
    status = {n: row["status"] for n, row in enumerate(calls)}
    assert {n for n in status if status[n] == CallStatus.OK} == set(SOUND)
    assert {n for n in status if status[n] == CallStatus.NOTHING_USABLE} == {SILENT, SHORT}
    assert calls[SILENT]["reason"] == QuarantineReason.SILENT
    assert "short" in calls[SHORT]["detail"]
    assert calls[BAD]["reason"] == QuarantineReason.BAD_ROW
    for n, row in enumerate(calls):
        assert (row["primary"] is None) == (n not in SOUND)
        assert (row["audio_s"] == 6.5) == (n in (*SOUND, SHORT))
        assert row["sentences"] == (2 if n in SOUND else 0)
    with (found.folder / "quarantine.csv").open(encoding="utf-8", newline="") as file:
        aside = list(csv.DictReader(file))
    assert [row["call_id"] for row in aside] == [call_id(n) for n in sorted((*ABSENT, BAD))]
    assert "absent.wav" in aside[0]["detail"]
    assert {path.name.split("-")[0] for path in found.folder.iterdir()} == {
        "calls", "sentences", "customers.parquet", "quarantine.csv", "summary.json",
        "recognitions.json", ".lock",
    }  # fmt: skip


def test_a_customers_colour_is_the_sum_over_all_sentences(config: RunConfig) -> None:
    found = recognise(config)
    customers = {row["customer_id"]: row for row in rows(found, "customers")}
    assert list(customers) == ["brief", "customer-0", "customer-1", "customer-2", "lost"]
    sentences = rows(found, "sentences")
    for name in ("customer-0", "customer-1", "customer-2"):
        mine = [Recognition(shares(row), 1) for row in sentences if row["customer_id"] == name]
        whole = combine(mine)
        assert isinstance(whole, Recognition)
        row = customers[name]
        assert shares(row) == pytest.approx(dict(whole.probabilities), abs=1e-12)
        assert (row["primary"], row["secondary"]) == (whole.primary, whole.secondary)
        assert row["clips"] == len(mine) == 2 * row["calls_used"]
    assert customers["lost"]["primary"] is None
    assert customers["lost"]["reason"] == "silent; unreadable"
    assert (customers["lost"]["calls"], customers["lost"]["calls_used"]) == (2, 0)
    assert customers["brief"]["reason"] == "no usable sentence"


def test_the_summary_counts_coverage_and_colours(config: RunConfig) -> None:
    found = recognise(config)
    summary = found.summary
    assert (summary.calls, summary.sentences) == (CALLS, 2 * len(SOUND))
    assert summary.calls_by_status == {"ok": 7, "quarantined": 3, "nothing_usable": 2}
    assert summary.calls_by_reason == {"unreadable": 2, "bad_row": 1, "silent": 1}
    assert (summary.customers, summary.customers_with_colour) == (5, 3)
    assert summary.coverage == 0.6
    assert summary.customers_without == {"no usable sentence": 1, "silent; unreadable": 1}
    assert summary.audio_s == 6.5 * (len(SOUND) + 1)
    coloured = [row for row in rows(found, "customers") if row["primary"]]
    best = sorted(max(shares(row).values()) for row in coloured)
    assert summary.confidence["median"] == pytest.approx(best[1], abs=1e-6)
    assert sum(summary.confidence_tenths) == 3
    assert summary.confidence_tenths[int(10 * best[0])] >= 1
    for label, share in summary.colours.items():
        mine = [max(shares(row).values()) for row in coloured if row["primary"] == label]
        assert share.customers == len(mine)
        assert share.share == pytest.approx(len(mine) / 3, abs=1e-6)
        if mine:
            assert share.confidence == pytest.approx(sum(mine) / len(mine), abs=1e-6)
    written = json.loads((found.folder / "summary.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(summary.to_dict()))


def test_only_new_calls_are_recognised(config: RunConfig, tmp_path: Path) -> None:
    first = recognise(config)
    before = digests(first.folder)
    again = recognise(config)
    assert (again.run.new_calls, again.summary) == (0, first.summary)
    assert digests(first.folder) == before
    make_calls(tmp_path, first=CALLS, calls=2)
    grown = recognise(config)
    assert grown.run.new_calls == 2
    assert grown.summary.calls == CALLS + 2
    after = digests(first.folder)
    kept = {"calls-00000.parquet", "sentences-00000.parquet", "quarantine.csv"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    customers = {row["customer_id"]: row["calls"] for row in rows(grown, "customers")}
    assert customers == {"brief": 1, "customer-0": 4, "customer-1": 4, "customer-2": 3, "lost": 2}


def test_a_worker_that_ends_early_loses_no_call_and_doubles_none(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recognise(config)
    broken = configured(tmp_path, config.archive.url, name="broken")
    done: list[str] = []
    finish = ArchiveWorker.finish

    def failing(self: ArchiveWorker, call: Any) -> Any:
        if len(done) % 5 == 4:
            done.append("stopped")
            raise KeyboardInterrupt
        done.append(call.call_id)
        return finish(self, call)

    monkeypatch.setattr(ArchiveWorker, "finish", failing)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            recognise(broken)
    monkeypatch.setattr(ArchiveWorker, "finish", finish)
    resumed = recognise(broken)
    assert resumed.run.new_calls == CALLS - 8
    assert sorted(done) == [call_id(n) for n in range(8)] + ["stopped"] * 2
    assert digests(resumed.folder) == digests(whole.folder)


@pytest.mark.parametrize("at", ["first shard", "customers", "manifest", "staging"])
def test_a_stop_while_results_are_written_changes_nothing(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    from persona_ray.corpus import shards as corpus_shards
    from persona_ray.corpus.staging import Staging

    whole = recognise(config)
    broken = configured(tmp_path, config.archive.url, name="broken")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if at == "first shard":
            patch.setattr(corpus_shards, "sha256_file", stop)
        elif at == "customers":
            patch.setattr(results, "customer_over", stop)
        elif at == "manifest":
            patch.setattr(results, "write_results", stop)
        else:
            patch.setattr(Staging, "remove", stop)
        with pytest.raises(KeyboardInterrupt):
            recognise(broken)
    again = recognise(broken)
    assert again.run.new_calls == 0
    assert digests(again.folder) == digests(whole.folder)
    model = digest(config.bundle_dir)
    with open_store(broken.store_url) as store:
        assert store.recognitions.count_calls(model) == CALLS


def test_texts_are_kept_only_where_asked_for(config: RunConfig, tmp_path: Path) -> None:
    silent = recognise(config)
    assert {row["text"] for row in rows(silent, "sentences")} == {None}
    told = recognise(
        configured(tmp_path, config.archive.url, name="told", recognition={"texts": True})
    )
    assert all(len(row["text"]) >= 10 for row in rows(told, "sentences"))
    assert [shares(row) for row in rows(told, "sentences")] == [
        shares(row) for row in rows(silent, "sentences")
    ]
    asked = config.recognition.model_copy(update={"texts": True})
    with pytest.raises(CorpusError, match=r"recognition\.texts False -> True.*--fresh"):
        recognise(config.model_copy(update={"recognition": asked}))


def test_other_settings_are_refused_until_the_run_is_fresh(
    config: RunConfig, tmp_path: Path
) -> None:
    recognise(config)
    stricter = configured(tmp_path, config.archive.url, cut={"min_chars": 15})
    with pytest.raises(CorpusError, match=r"recognised archive .*cut\.min_chars 10 -> 15"):
        recognise(stricter)
    fewer = recognise(stricter, fresh=True)
    assert fewer.run.new_calls == CALLS
    assert fewer.summary.sentences < 2 * len(SOUND)
    with open_store(config.store_url) as store:
        found = {c.call_id: c for c in store.recognitions.calls(digest(config.bundle_dir))}
    for row in rows(fewer, "calls"):
        assert found[row["call_id"]].status == row["status"]


def test_one_call_that_the_model_fails_on_is_set_aside_many_end_the_job(
    config: RunConfig, tmp_path: Path
) -> None:
    def failing(bad: set[int]) -> Any:
        def load(bundle: Path, run: RunConfig) -> PersonalityRecognizer:
            recognizer = PersonalityRecognizer.load(bundle, run, device="cpu")
            judge, asked = recognizer.pieces, iter(range(CALLS))

            def pieces(found: Any) -> Any:
                if next(asked) in bad:
                    raise RuntimeError("device\nlost")
                return judge(found)

            recognizer.pieces = pieces  # type: ignore[method-assign]
            return recognizer

        return load

    with pytest.raises(ModelError, match=r"3 calls one after the other.*device lost"):
        recognise(config, load=failing(set(range(CALLS))))
    other = configured(tmp_path, config.archive.url, name="other")
    found = recognise(other, load=failing({0, 1, 3}))
    failed = [row["call_id"] for row in rows(found, "calls") if row["reason"] == "failed"]
    assert failed == [call_id(0), call_id(1), call_id(3)]


def test_mistakes_end_before_any_work(config: RunConfig, tmp_path: Path) -> None:
    nowhere = config.recognition.model_copy(update={"bundle": str(tmp_path / "nowhere")})
    with pytest.raises(BundleError, match="is no bundle"):
        recognise(config.model_copy(update={"recognition": nowhere}))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ArchiveError, match="nothing to recognise"):
        recognise(configured(empty, make_calls(empty, calls=0)))
    with (
        folder.open_results(config, digest(config.bundle_dir), ("a", "b"), fresh=False),
        pytest.raises(CorpusError, match="another recognition of the archive is at work"),
    ):
        recognise(config)
    first = recognise(config)
    (first.folder / "calls-00000.parquet").unlink()
    with pytest.raises(CorpusError, match=r"calls-00000\.parquet is missing"):
        recognise(config)


def test_the_command_tells_people_and_machines(config: RunConfig, tmp_path: Path) -> None:
    from persona_ray.cli.app import app

    write_config(config, tmp_path / "run.yaml")
    arguments = ["recognize-archive", "--config", str(tmp_path / "run.yaml")]
    told = CliRunner().invoke(app, arguments, env={"COLUMNS": "120"})
    assert told.exit_code == 0, told.output
    for part in ("with a colour", "3 (60.0%)", "without: silent; unreadable", "calls in this run"):
        assert part in told.output
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    tree = json.loads(answer.stdout)
    assert (tree["coverage"], tree["run"]["new_calls"]) == (0.6, 0)
