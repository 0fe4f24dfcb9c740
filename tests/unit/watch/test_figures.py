"""Jobs tell their figures to a file that outlives them; a service of the workspace tells it on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config
from persona_ray.launch.watching import counted
from persona_ray.progress import SilentProgress
from persona_ray.serving.metrics import Metrics
from persona_ray.watch.catalogue import ARCHIVE_COVERAGE, CORPUS_CALLS, CORPUS_DROPPED
from persona_ray.watch.textfile import FOLDER, file_of, values

STAGE = "corpus build"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}"])


def told(config: RunConfig, name: str, stage: str = STAGE) -> dict[str, float]:
    return values(file_of(config.workspace / FOLDER, stage), name)


def test_a_job_tells_how_it_goes_and_ends(config: RunConfig) -> None:
    with counted(config, STAGE, SilentProgress()) as job:
        assert told(config, "persona_job_running") == {STAGE: 1}
        with job.stage("calls", total=8) as stage:
            stage.advance(2)
            stage.advance(2, loss=0.5, audio_s_per_s=40.0, utilisation=0.3, padding=0.1)
        job.record(ARCHIVE_COVERAGE, 0.75)
    part = f"calls,{STAGE}"
    assert told(config, "persona_job_running") == {STAGE: 0}
    assert told(config, "persona_job_steps_total") == {part: 4}
    assert told(config, "persona_job_progress_ratio") == {part: 0.5}
    assert told(config, "persona_job_loss") == {part: 0.5}
    assert told(config, "persona_job_units_per_second") == {f"{part},audio_s": 40}
    assert told(config, "persona_job_utilisation_ratio") == {part: 0.3}
    assert told(config, "persona_archive_coverage_ratio") == {"": 0.75}
    assert told(config, "persona_job_last_success_timestamp_seconds")[STAGE] <= time.time()
    assert told(config, "persona_job_last_failure_timestamp_seconds") == {}


def test_a_run_remembers_how_the_ones_before_ended(config: RunConfig) -> None:
    with counted(config, STAGE, SilentProgress()):
        pass
    well = told(config, "persona_job_last_success_timestamp_seconds")
    with pytest.raises(ValueError, match="ill"), counted(config, STAGE, SilentProgress()):
        raise ValueError("ill")
    assert told(config, "persona_job_last_success_timestamp_seconds") == well
    ill = told(config, "persona_job_last_failure_timestamp_seconds")
    assert ill[STAGE] >= well[STAGE]
    # Who is stopped has not failed.
    with pytest.raises(KeyboardInterrupt), counted(config, STAGE, SilentProgress()):
        raise KeyboardInterrupt
    assert told(config, "persona_job_running") == {STAGE: 0}
    assert told(config, "persona_job_last_failure_timestamp_seconds") == ill


def test_what_a_run_made_is_told_until_the_next_one_has_made_something(config: RunConfig) -> None:
    calls, coverage = "persona_corpus_calls", "persona_archive_coverage_ratio"
    with counted(config, STAGE, SilentProgress()) as job:
        job.record(CORPUS_CALLS, 3, outcome="ok")
        job.record(CORPUS_CALLS, 1, outcome="silent")
        job.record(CORPUS_DROPPED, 2, reason="short")
        job.record(ARCHIVE_COVERAGE, 0.5)
    before = {"ok": 3.0, "silent": 1.0}
    with pytest.raises(ValueError, match="ill"), counted(config, STAGE, SilentProgress()):
        raise ValueError("ill")
    assert told(config, calls) == before
    with counted(config, STAGE, SilentProgress()) as job:
        job.checkpoint(None)
        assert told(config, calls) == before
        assert told(config, coverage) == {"": 0.5}
        job.record(CORPUS_CALLS, 4, outcome="ok")
    assert told(config, calls) == {"ok": 4.0}, "no outcome stays that this run has not seen"
    assert told(config, "persona_corpus_dropped_sentences") == {}


def test_a_checkpoint_has_a_time(config: RunConfig, tmp_path: Path) -> None:
    with counted(config, STAGE, SilentProgress()) as job:
        job.checkpoint(None)
        job.checkpoint(tmp_path / "gone")
        assert told(config, "persona_job_checkpoint_timestamp_seconds") == {}
        job.checkpoint(tmp_path)
    at = told(config, "persona_job_checkpoint_timestamp_seconds")[STAGE]
    assert at == pytest.approx(tmp_path.stat().st_mtime, abs=5)


def test_a_disk_that_cannot_be_written_costs_no_job(
    config: RunConfig, caplog: pytest.LogCaptureFixture
) -> None:
    (config.workspace / FOLDER).write_text("in the way")
    with counted(config, STAGE, SilentProgress()) as job, job.stage("calls", total=None) as stage:
        stage.advance(1)
    assert caplog.text.count("cannot be written") == 1


def test_the_service_tells_jobs_figures_once_each(config: RunConfig) -> None:
    for stage in (STAGE, "fine-tuning"):
        with counted(config, stage, SilentProgress()):
            pass
    assert told(config, "persona_corpus_clips") == {}
    (config.workspace / FOLDER / "broken.prom").write_text("persona_job_running{")
    text = Metrics(jobs=config.workspace / FOLDER).text().decode()
    assert text.count("# HELP persona_job_running ") == 1
    series = [line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"]
    assert len(set(series)) == len(series)
    assert 'persona_job_running{stage="corpus build"} 0.0' in text
    assert 'persona_job_running{stage="fine-tuning"} 0.0' in text


def test_what_comes_last_is_written_though_nothing_follows(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_ray.watch.textfile._WRITE_EVERY_S", 0.1)
    with counted(config, STAGE, SilentProgress()) as job:
        job.record(ARCHIVE_COVERAGE, 0.5)
        job.record(ARCHIVE_COVERAGE, 0.75)
        time.sleep(0.4)
        assert told(config, "persona_archive_coverage_ratio") == {"": 0.75}
