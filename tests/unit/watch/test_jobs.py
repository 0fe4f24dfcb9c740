"""A job that is watched: its spans, and logs in which nobody is named."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.cli import main
from persona_ray.config import RunConfig
from persona_ray.launch.pretrain import pretrain_text
from persona_ray.progress import LINES, RichProgress
from persona_ray.watch import spans
from persona_ray.watch.logs import LOGGER, configure_logs, within
from persona_ray.watch.process import watched
from tests.collector import Collector, collecting
from tests.unit.corpus.calls import SENTENCES
from tests.unit.launch.pretraining import built, changed

# Of one training, within the stage that prepares and keeps it.
RUN = "pretraining text"


@pytest.fixture
def collector() -> Iterator[Collector]:
    handlers, level = LOGGER.handlers[:], LOGGER.level
    with collecting() as found:
        yield found
    spans.close()
    LOGGER.handlers[:] = handlers
    LOGGER.setLevel(level)
    logging.getLogger(LINES).setLevel(logging.NOTSET)


def test_a_job_is_one_trace_and_tells_of_nobody(
    collector: Collector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LOGGER.handlers.clear()
    config = changed(built(tmp_path), "text", epochs=1)
    watching = {"traces": {"endpoint": collector.endpoint}, "logs": "json"}
    config = RunConfig.model_validate(config.model_dump(mode="json") | {"watching": watching})
    with watched(config.watching, "main job"):
        pretrain_text(config, RichProgress())
    (job,), (stage,), (run,) = map(collector.named, ("main job", "pretrain text", RUN))
    assert stage.parent_span_id == job.span_id
    assert run.parent_span_id == stage.span_id
    assert {one.trace_id for one in collector.spans} == {job.trace_id}

    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    told = [(line["event"], line["stage"]) for line in lines]
    assert told[0] == ("begun", "main job")
    assert told[-1] == ("ended", "main job")
    assert ("progress", RUN) in told
    assert {line["trace_id"] for line in lines} == {job.trace_id.hex()}
    for text in (*SENTENCES, "customer-1", "agent-1", "call-0000"):
        assert text not in json.dumps(lines, ensure_ascii=False)
        assert text not in str(collector.spans)


def test_what_fails_is_logged_by_kind_and_place_and_under_its_run(
    collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs()
    watching = RunConfig().watching.model_copy(update={"logs": "json"})

    def fails() -> None:
        with watched(watching, "stage"), within() as fields:
            fields["run_id"] = "7"
            try:
                raise ValueError("王小明 said")
            except ValueError:
                logging.getLogger("persona_ray.launch").warning("it fails", exc_info=True)
                raise

    with pytest.raises(ValueError, match="王小明"):
        fails()
    written = capsys.readouterr().err
    begun, warned, failed = map(json.loads, written.splitlines())
    assert begun["event"] == "begun"
    assert (warned["event"], warned["level"], warned["run_id"]) == ("it fails", "warning", "7")
    assert (failed["event"], failed["error"]) == ("failed", "ValueError")
    assert warned["places"][-1].startswith("test_jobs.py:")
    assert len(begun["trace_id"]) == 32
    assert "王小明" not in written
    assert collector.spans == []


@pytest.mark.usefixtures("collector")
def test_a_commands_mistake_is_a_line_of_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    LOGGER.handlers.clear()
    settings = [f"workspace={tmp_path}", "watching.logs=json", "archive.url=nowhere"]
    named = [part for one in settings for part in ("--set", one)]
    monkeypatch.setattr(sys, "argv", ["persona-ray", "corpus", "build", *named])
    with pytest.raises(SystemExit) as ended:
        main()
    events = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert ended.value.code == 2
    assert events[-1].startswith("error: archive.url")
