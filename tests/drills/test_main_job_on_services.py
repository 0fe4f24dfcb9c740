"""The whole main job as on a cluster: submitted under a token, recordings and artefacts in S3, the
store in PostgreSQL, MLflow a server; then a job on another cluster's empty disk goes on."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from persona_ray.config import RunConfig, load_config, write_config
from persona_ray.config.corpus import DEFAULT_QUERY
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.launch.storage.artefacts import Artefacts
from persona_ray.launch.versions.registry import Registry
from persona_ray.progress import SilentProgress
from persona_ray.store import open_store
from tests.drills.nodes import RAY, Nodes, cluster, wait_for
from tests.postgres import PASSWORD, Postgres, postgres
from tests.services import S3, mlflow_server

pytestmark = pytest.mark.drill

CUSTOMERS = 12
JOB_S = 400


@dataclass(frozen=True)
class Place:
    """A cluster and what it works with. `config` is of a workspace on its disk."""

    nodes: Nodes
    s3: S3
    database: Postgres
    config: RunConfig

    def ray(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RAY, "job", arguments[0], "--address", self.nodes.dashboard, *arguments[1:]],
            env={**self.nodes.environment, **changes},
            capture_output=True,
            text=True,
            timeout=JOB_S,
            check=False,
        )

    def run(self, script: str, config: RunConfig) -> str:
        """The job's log."""
        path = self.nodes.folder / f"{config.workspace.name}.yaml"
        write_config(config, path)
        command = f"python {Path(__file__).parents[2]}/jobs/{script}.py --config {path}"
        done = self.ray("submit", "--", *command.split())
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
        assert PASSWORD not in done.stdout
        return done.stdout


@pytest.fixture
def place(
    tmp_path: Path, repository: Path, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    s3.upload(repository / "demo/archive/audio", "recordings/audio")
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    known = {**s3.environment, "DB_PASSWORD": PASSWORD, "PATH": path}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    with (
        postgres() as server,
        mlflow_server(
            server.url.format(database="template1"), f"{s3.uri}/mlflow", tmp_path / "mlflow.log"
        ) as tracking,
        cluster(4, dashboard=True, **known, **token) as nodes,
    ):
        store = server.url.format(database="postgres").split("@")[1]
        config = settings(repository, tmp_path / "first", s3)
        config = config.model_copy(
            update={
                "store": config.store.model_copy(
                    update={"url": f"postgresql://tester:${{DB_PASSWORD}}@{store}"}
                ),
                "tracking": config.tracking.model_copy(update={"url": tracking}),
            }
        )
        here = Place(nodes, s3, server, config)
        wait_for(lambda: here.ray("submit", "--", "true").returncode == 0, JOB_S, "no job is taken")
        yield here


def settings(repository: Path, workspace: Path, s3: S3) -> RunConfig:
    archive = repository / "demo/archive"
    some = f"{DEFAULT_QUERY} WHERE c.customer_id IN (SELECT customer_id FROM customers "
    some += f"ORDER BY customer_id LIMIT {CUSTOMERS})"
    small = {"hidden_size": 16, "layers": 2, "heads": 2}
    return load_config(
        repository / "configs/demo.yaml",
        [
            f"workspace={workspace}",
            f"archive.url=sqlite:///{archive / 'business.sqlite'}",
            f"archive.audio_root={s3.uri}/recordings",
            f"archive.query={json.dumps(some)}",
            f"storage.artefacts={s3.uri}/work",
            "corpus.truth=",
            f"annotation.files=[{archive / 'annotations.csv'}]",
            "model.speech.path=",
            f"model.speech.small={json.dumps({**small, 'conv_channels': 18})}",
            f"model.text.small={json.dumps(small)}",
            "pretraining.encoders=[text]",
            "pretraining.text.epochs=1",
            "training.epochs=2",
            "training.frozen_epochs=1",
            "launch.cpus_per_worker=1",
            "evaluation.folds=0",
            "evaluation.bootstrap=20",
        ],
    )


def restarted(database: Postgres, begun: Path) -> None:
    """The database, in the middle of the job: it has opened its store, and writes at its end."""
    wait_for(begun.is_dir, JOB_S, "the job does not begin")
    database.stop()
    time.sleep(1)
    database.start()


def test_the_main_job_and_a_cluster_that_goes_on(place: Place, tmp_path: Path) -> None:
    stranger = place.ray("submit", "--", "true", RAY_AUTH_TOKEN="0" * 32)
    assert stranger.returncode != 0
    log = place.run("main_job", place.config)
    assert "report.html" in log
    corpus = CorpusDataset.open(place.config.corpus_dir)
    assert corpus.manifest.counts["calls_ok"] > CUSTOMERS
    assert "quarantined_unreadable" not in corpus.manifest.counts
    pushed = {part.name for part in Artefacts(place.config, SilentProgress()).pushed()}
    assert pushed == {"corpus", "encoders", "bundle", "report", "run"}
    (version,) = Registry.open(place.config).versions()
    with open_store(place.config.store_url) as store:
        assert store.annotations.count() > 0
    # Nothing that is kept for good is on the first cluster's disk alone.
    assert not (place.config.workspace / "store.sqlite").exists()
    assert not (place.config.workspace / "mlflow.db").exists()
    shutil.rmtree(place.config.workspace)

    second = place.config.model_copy(update={"workspace": tmp_path / "second"})
    restart = threading.Thread(target=restarted, args=(place.database, second.recognitions_dir))
    restart.start()
    place.run("recognize_archive", second)
    restart.join()
    assert CorpusDataset.open(second.corpus_dir).fingerprint == corpus.fingerprint
    summary = json.loads(next(second.recognitions_dir.glob("*/summary.json")).read_text())
    assert summary["calls"] == corpus.manifest.counts["calls"]
    (again,) = Registry.open(second).versions()
    assert again == version
    assert "recognitions" in {part.name for part in Artefacts(second, SilentProgress()).pushed()}
