"""`ray job submit` from a fresh clone, on a cluster that asks for a token: stopped, and gone on."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.config.corpus import DEFAULT_QUERY
from persona_ray.training.pretrain.curve import read_curves
from tests.drills.nodes import RAY, Nodes, cluster, wait_for

pytestmark = pytest.mark.drill

JOB_S = 900
CUSTOMERS = 12
# What `ray job stop` grants before it kills, read where the job's driver was started.
PATIENT = json.dumps({"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}})
PROBE = ("submit", "--", "true")
LARGEST_UPLOAD_MB = 40


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    # `python` of the jobs is the one that runs this test.
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    token = secrets.token_hex(16)
    with cluster(4, dashboard=True, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, PATH=path) as up:
        # The dashboard answers before there is an agent that takes jobs.
        wait_for(lambda: jobs(up, *PROBE).returncode == 0, JOB_S, "no job is taken")
        yield up


@pytest.fixture(scope="module")
def clone(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "persona-ray"
    subprocess.run(["git", "clone", "--quiet", str(repository), str(folder)], check=True)
    return folder


def jobs(nodes: Nodes, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RAY, "job", arguments[0], "--address", nodes.dashboard, *arguments[1:]],
        env={**nodes.environment, **changes},
        capture_output=True,
        text=True,
        timeout=JOB_S,
        check=False,
    )


def submit(
    nodes: Nodes, clone: Path, log: Path, script: str, *settings: str, name: str
) -> subprocess.Popen[bytes]:
    """Follows the job's log; ends when the job does."""
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = [RAY, "job", "submit", "--address", nodes.dashboard, "--submission-id", name]
    command += ["--working-dir", ".", "--runtime-env-json", PATIENT]
    command += ["--", "python", f"jobs/{script}.py", "--config", f"jobs/{script}.yaml", *overrides]
    with log.open("wb") as stream:
        return subprocess.Popen(
            command, cwd=clone, env=dict(nodes.environment), stdout=stream, stderr=stream
        )


def uploaded_mb(nodes: Nodes) -> float:
    """The working folder as it arrived on the node."""
    (package,) = nodes.folder.glob("session_2*/runtime_resources/working_dir_files/_ray_pkg_*/")
    return sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) / 1e6


def test_a_stopped_job_goes_on_with_the_next(clone: Path, nodes: Nodes, tmp_path: Path) -> None:
    stranger = jobs(nodes, "list", RAY_AUTH_TOKEN="0" * 32)
    assert stranger.returncode != 0
    assert re.search(
        r"401|403|[Uu]nauthori[sz]ed|[Ii]nvalid.*token", stranger.stderr + stranger.stdout
    )

    workspace, log = tmp_path / "run", tmp_path / "log.txt"
    common = [f"workspace={workspace}", "launch.cpus_per_worker=1", "tracking.url=off"]
    some = f"{DEFAULT_QUERY} WHERE c.customer_id IN (SELECT customer_id FROM customers "
    some += f"ORDER BY customer_id LIMIT {CUSTOMERS})"
    query = f"archive.query={json.dumps(some)}"
    built = submit(nodes, clone, log, "build_corpus", *common, query, name="corpus")
    assert built.wait(JOB_S) == 0, log.read_text()
    assert uploaded_mb(nodes) < LARGEST_UPLOAD_MB

    speech = [
        *common,
        "launch.workers=2",
        "model.speech.small={hidden_size: 16, layers: 2, heads: 2, conv_channels: 18}",
        "pretraining.speech.epochs=30",
        "pretraining.speech.batch_s=40",
        "pretraining.speech.log_updates=1",
        "pretraining.speech.checkpoint_updates=1000",
    ]
    first = submit(nodes, clone, log, "pretrain_speech", *speech, name="first")
    run = workspace / "pretraining" / "speech" / "run-1"

    def training() -> bool:
        assert first.poll() is None, log.read_text()
        return "pretraining speech: " in log.read_text()

    wait_for(training, JOB_S, "the job does not train")
    asked = time.monotonic()
    assert jobs(nodes, "stop", "first").returncode == 0
    first.wait(JOB_S)
    assert "was stopped" in jobs(nodes, "status", "first").stdout
    newest = sorted(run.glob("checkpoint-*"))[-1]
    left = json.loads((newest / "state.json").read_text())["progress"]
    print(f"\nray job stop: {time.monotonic() - asked:.0f} s, at update {left['update']}")
    assert left["update"] > 0
    assert not (workspace / "encoders" / "speech").exists()

    second = submit(nodes, clone, log, "pretrain_speech", *speech, name="second")
    assert second.wait(JOB_S) == 0, log.read_text()
    print(log.read_text())
    (curve,) = read_curves(workspace / "pretraining" / "speech.json")
    assert curve.complete
    # Also the seconds of each point are those of the first job.
    mine = [point for point in curve.as_json()["points"] if point["update"] <= left["update"]]
    assert mine == left["points"]
    assert (workspace / "encoders" / "speech" / "model.safetensors").is_file()
