"""MLflow's own store read back after runs that end well, fail, go on, or lose their server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from persona_ray.config import RunConfig
from persona_ray.config.tracking import TrackingConfig
from persona_ray.errors import TrackingError
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.progress import SilentProgress
from tests.conftest import REPOSITORY


def config(workspace: Path, url: str = "") -> RunConfig:
    return RunConfig(workspace=workspace, tracking=TrackingConfig(url=url, experiment="tests"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "training" / "abc"
    path.mkdir(parents=True)
    return path


def train(run: RunConfig, folder: Path, steps: range, fail: bool = False) -> None:
    parameters = {"training": run.training, "engine": run.engine}
    with tracked(run, "fine-tuning", folder, parameters, {"data": "f00d"}) as tracker:
        for step in steps:
            tracker.metrics(step, {"loss": 1 / (step + 1), "accuracy": 0.5})
        tracker.text("curve.svg", "<svg/>")
        if fail:
            raise RuntimeError("a worker was lost")


def runs(run: RunConfig) -> tuple[Any, list[Any]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{run.workspace / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    return client, list(client.search_runs([experiment.experiment_id]))


def test_a_run_has_its_curves_parameters_tags_and_files(tmp_path: Path, folder: Path) -> None:
    run = config(tmp_path)
    train(run, folder, range(1, 1203))
    client, (kept,) = runs(run)
    assert kept.info.status == "FINISHED"
    assert kept.info.run_name == "fine-tuning"
    history = client.get_metric_history(kept.info.run_id, "loss")
    assert [point.step for point in history] == list(range(1, 1203))
    assert history[-1].value == pytest.approx(1 / 1203)
    assert kept.data.params["training.learning_rate"] == "1e-05"
    assert kept.data.params["training.kept_frozen"] == "[]"
    assert kept.data.params["engine.kind"] == "torch"
    assert kept.data.tags["persona_ray.stage"] == "fine-tuning"
    assert kept.data.tags["persona_ray.data"] == "f00d"
    assert [file.read_text() for file in (tmp_path / "mlruns").rglob("curve.svg")] == ["<svg/>"]
    (environment,) = (tmp_path / "mlruns").rglob("environment.json")
    packages = json.loads(environment.read_text())["packages"]
    assert packages["torch"].startswith("2.")
    assert packages["mlflow"] == version("mlflow")
    said = subprocess.run(
        ["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    if said.returncode == 0:
        assert kept.data.tags["mlflow.source.git.commit"] == said.stdout.strip()
        assert kept.data.tags["mlflow.source.git.dirty"] in ("true", "false")


def test_a_failed_run_is_continued_and_tells_no_step_twice(tmp_path: Path, folder: Path) -> None:
    run = config(tmp_path)
    with pytest.raises(RuntimeError, match="a worker was lost"):
        train(run, folder, range(1, 7), fail=True)
    assert runs(run)[1][0].info.status == "FAILED"
    # From the checkpoint of step 4, with another engine.
    again = run.model_copy(update={"engine": run.engine.model_copy(update={"kind": "deepspeed"})})
    train(again, folder, range(5, 10))
    client, (kept,) = runs(run)
    assert kept.info.status == "FINISHED"
    history = client.get_metric_history(kept.info.run_id, "loss")
    assert [point.step for point in history] == list(range(1, 10))
    assert kept.data.params["engine.kind"] == "torch"
    assert kept.data.tags["persona_ray.continued.engine.kind"] == "deepspeed"


def test_children_stand_below_their_run_once(tmp_path: Path, folder: Path) -> None:
    run = config(tmp_path)
    points = [{"loss": 0.5}, {"loss": 0.25, "score": 0.25}]

    def sweep(names: str, fail: bool) -> None:
        with tracked(run, "sweep", folder, {}, {"data": "f00d"}) as tracker:
            for name in names:
                tracker.child(name, {"training.decay_rate": name}, points)
            if fail:
                raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        sweep("ab", fail=True)
    sweep("abc", fail=False)
    client, found = runs(run)
    (parent,) = (kept for kept in found if kept.info.run_name == "sweep")
    children = {kept.info.run_name: kept for kept in found if kept is not parent}
    assert (len(found), sorted(children)) == (4, ["a", "b", "c"])
    for name, child in children.items():
        assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert child.data.tags["persona_ray.data"] == "f00d"
        assert child.data.tags["persona_ray.stage"] == "sweep"
        assert child.data.params == {"training.decay_rate": name}
        assert child.data.metrics == {"loss": 0.25, "score": 0.25}
        assert child.info.status == "FINISHED"
        history = client.get_metric_history(child.info.run_id, "loss")
        assert [(point.step, point.value) for point in history] == [(1, 0.5), (2, 0.25)]
    # A run that is started elsewhere may stand below it too.
    with tracked(run, "fine-tuning", folder, {}, {}, parent.info.run_id) as tracker:
        tracker.metrics(1, {"loss": 0.1})
    below = [r for r in runs(run)[1] if r.info.run_name == "fine-tuning"]
    assert [r.data.tags["mlflow.parentRunId"] for r in below] == [parent.info.run_id]


def test_a_finished_run_and_a_removed_folder_begin_another(tmp_path: Path, folder: Path) -> None:
    run = config(tmp_path)
    train(run, folder, range(2))
    train(run, folder, range(2))
    with pytest.raises(RuntimeError):
        train(run, folder, range(2), fail=True)
    shutil.rmtree(folder)
    train(run, folder, range(2))
    statuses = sorted(kept.info.status for kept in runs(run)[1])
    assert statuses == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]


def test_off_loads_nothing(tmp_path: Path) -> None:
    probe = f"""
import sys
from pathlib import Path
from persona_ray.config import RunConfig
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.progress import SilentProgress
from tests.conftest import REPOSITORY
folder = Path({str(tmp_path)!r})
run = RunConfig.model_validate({{"workspace": str(folder / "w"), "tracking": {{"url": "off"}}}})
with tracked(run, "x", folder, {{}}, {{}}) as tracker:
    tracker.metrics(1, {{"loss": 1.0}})
print("mlflow" in sys.modules, (folder / "w").exists())
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False False"


def test_mlflow_keeps_silent(tmp_path: Path) -> None:
    probe = f"""
from pathlib import Path
from persona_ray.config import RunConfig
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.progress import SilentProgress
from tests.conftest import REPOSITORY
folder = Path({str(tmp_path)!r})
with tracked(RunConfig(workspace=folder), "x", folder, {{}}, {{}}) as tracker:
    tracker.metrics(1, {{"loss": 1.0}})
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout + done.stderr == ""
    assert (tmp_path / "mlflow.db").is_file()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9", "no MLflow server answers at tracking.url 'http://127.0.0.1:9'"),
        ("mlruns", "neither http"),
        ("sqlite:////dev/null/mlflow.db", "cannot be opened"),
        ("postgresql+psycopg://ray:secret@127.0.0.1:9/mlflow", "ray:\\*\\*\\*@127.0.0.1:9"),
    ],
)
def test_a_store_out_of_reach_is_told_before_training(
    tmp_path: Path, folder: Path, url: str, said: str
) -> None:
    with pytest.raises(TrackingError, match=said) as caught:
        train(config(tmp_path, url), folder, range(1))
    assert "secret" not in str(caught.value)
    assert "off" in str(caught.value)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "mlruns", "postgresql://127.0.0.1:9/a"])
def test_a_server_out_of_reach_is_told_before_data_are_read(tmp_path: Path, url: str) -> None:
    from persona_ray.launch.finetune import finetune
    from persona_ray.launch.pretrain import pretrain_speech, pretrain_text

    # There is no corpus either, which is told later.
    for start in (pretrain_text, pretrain_speech, finetune):
        with pytest.raises(TrackingError, match=r"tracking\.url"):
            start(config(tmp_path, url), SilentProgress())


def test_the_main_job_looks_before_it_builds_a_corpus(tmp_path: Path) -> None:
    from persona_ray.launch.main_job import run_main_job

    labels = tmp_path / "labels.csv"
    labels.touch()
    tree = config(tmp_path / "workspace", "http://127.0.0.1:9").model_dump(mode="json")
    tree["annotation"]["files"] = [str(labels)]
    with pytest.raises(TrackingError, match=r"tracking\.url"):
        run_main_job(RunConfig.model_validate(tree), SilentProgress())
    assert list(tmp_path.iterdir()) == [labels]


@pytest.mark.parametrize("url", ["", "off", "sqlite:///{folder}/mlflow.db"])
def test_looking_creates_nothing(tmp_path: Path, url: str) -> None:
    check_tracking(config(tmp_path / "workspace", url.format(folder=tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("persona_ray.launch.tracking.place._ANSWER_S", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        before = time.monotonic()
        for scheme in ("http", "postgresql+psycopg"):
            with pytest.raises(TrackingError):
                check_tracking(config(tmp_path, f"{scheme}://{host}:{port}/calls"))
        assert time.monotonic() - before < 10


class _Broken(BaseHTTPRequestHandler):
    """Healthy, and useless."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 400)
        self.end_headers()

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def broken_server() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_lost_on_the_way_is_told_once_and_training_ends_well(
    tmp_path: Path,
    folder: Path,
    broken_server: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("persona_ray.launch.tracking.runs._COLLECT_S", 0.01)
    train(config(tmp_path, broken_server), folder, range(50))
    (told,) = [record.getMessage() for record in caplog.records if "MLflow" in record.getMessage()]
    assert broken_server in told
    assert "training goes on" in told
