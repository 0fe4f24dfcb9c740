"""What the manifests ask of Ray, tried on Ray: a head without processors, a token, jobs and an
application as the operator submits them."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml

from persona_ray.config.corpus import DEFAULT_QUERY
from persona_ray.serving.deploy.proxy import ENVIRONMENT
from tests.drills.nodes import Nodes, cluster, free_port, wait_for
from tests.drills.serving import bundles
from tests.unit.infra.manifests import KUBERNETES, documents

pytestmark = pytest.mark.drill

READY_S = 200
CALLS = 4


class Cluster:
    """Asked as KubeRay's operator asks it: by HTTP with the token."""

    def __init__(self, nodes: Nodes, token: str) -> None:
        self.nodes = nodes
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, method: str, path: str, **given: object) -> requests.Response:
        url = f"{self.nodes.dashboard}{path}"
        return requests.request(method, url, headers=self._headers, timeout=60, **given)  # type: ignore[arg-type]

    def job(self, spec: dict[str, object]) -> dict[str, object]:
        """Submitted as `submissionMode: HTTPMode` does, and waited for."""
        given = {key: spec[f"entrypoint{new}"] for key, new in _SUBMITTED.items()}
        answer = self.ask("POST", "/api/jobs/", json=given)
        assert answer.status_code == 200, answer.text
        at = f"/api/jobs/{answer.json()['submission_id']}"
        wait_for(
            lambda: self.ask("GET", at).json()["status"] in ("SUCCEEDED", "FAILED", "STOPPED"),
            READY_S,
            "the job does not end",
        )
        found = self.ask("GET", at).json() | self.ask("GET", f"{at}/logs").json()
        assert isinstance(found, dict)
        return found


_SUBMITTED = {"entrypoint": "", "entrypoint_num_cpus": "NumCpus"}


@pytest.fixture
def clusters() -> Iterator[Cluster]:
    """A head with `num-cpus: "0"`, and one worker, under a token."""
    token = secrets.token_hex(16)
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, **ENVIRONMENT}
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    with cluster(0, dashboard=True, PATH=path, **known) as nodes:
        nodes.add(4)
        yield Cluster(nodes, token)


def test_a_job_runs_on_a_worker(clusters: Cluster, repository: Path, tmp_path: Path) -> None:
    (job,) = documents(KUBERNETES / "jobs/corpus.yaml")
    spec = job["spec"]
    where = KUBERNETES / "overlays/laptop"
    entrypoint = spec["entrypoint"].replace("/etc/persona-ray", str(where))
    # What is at other places here than in the image, and no databases.
    archive = repository / "demo/archive"
    settings = {
        "workspace": tmp_path / "work",
        "archive.url": f"sqlite:///{archive}/business.sqlite",
        "archive.audio_root": archive,
        "archive.query": json.dumps(f"{DEFAULT_QUERY} LIMIT {CALLS}"),
        "corpus.truth": "",
        "store.url": "",
        "tracking.url": "off",
    }
    for key, value in settings.items():
        entrypoint += f" --set '{key}={value}'"
    entrypoint = entrypoint.replace("/app/", f"{repository}/")
    refused = requests.post(f"{clusters.nodes.dashboard}/api/jobs/", json={"entrypoint": "true"})
    assert refused.status_code == 401
    told = clusters.job(spec | {"entrypoint": entrypoint})
    assert told["status"] == "SUCCEEDED", told["logs"]
    assert list((tmp_path / "work/corpus").glob("*.parquet"))
    nodes = clusters.ask("GET", "/nodes?view=summary").json()["data"]["summary"]
    (head,) = (node["raylet"]["nodeId"] for node in nodes if node["raylet"]["isHeadNode"])
    assert told["driver_node_id"] != head


def test_an_application_answers_from_a_worker(clusters: Cluster, tmp_path: Path) -> None:
    (service,) = documents(KUBERNETES / "applications/personality/serve.yaml")
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    bundle, _ = bundles(tmp_path)
    port = free_port()
    config["http_options"] |= {"host": "127.0.0.1", "port": port}
    arguments = config["applications"][0]["args"]
    arguments["config"] = str(KUBERNETES / "overlays/laptop/persona-ray.yaml")
    arguments["set"] += [
        f"workspace={tmp_path}",
        f"serving.bundle={bundle}",
        "store.url=",
        "tracking.url=off",
        "cut.max_clip_s=6",
    ]
    applications = "/api/serve/applications/"
    answer = clusters.ask("PUT", applications, json=config)
    assert answer.status_code == 200, answer.text

    def status() -> str:
        told = clusters.ask("GET", applications).json()["applications"].get("personality", {})
        assert told.get("status") != "DEPLOY_FAILED", told["message"]
        return str(told.get("status"))

    wait_for(lambda: status() == "RUNNING", READY_S, "the application does not run")
    health = requests.get(f"http://127.0.0.1:{port}/-/healthz", timeout=30)
    assert (health.status_code, health.text) == (200, "success")
    ready = requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=30)
    assert ready.json()["status"] == "ready"
