"""A real Prometheus asks a service on a real Serve, and the shipped rules and dashboards find what
they ask for."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import requests
import soundfile

from persona_ray.launch.watching import counted
from persona_ray.progress import SilentProgress
from persona_ray.store import open_store
from tests.cluster.serving import PORT, bundles, configured, deploy, routed, started
from tests.prometheus import Prometheus, asked, prometheus
from tests.unit.inference.test_personality import clips
from tests.unit.infra.dashboards import read_dashboard
from tests.unit.infra.promql import OF_RAY, names_in
from tests.unit.infra.test_watching import DASHBOARDS
from tests.unit.models.test_bimodal import RATE_HZ

__all__ = ["bundles", "started"]

pytestmark = pytest.mark.cluster

NAME = "watched"
_PATIENCE_S = 40.0


@pytest.fixture(scope="module")
def watched(
    started: str, bundles: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """Of a service that answered a few times, and a job that runs on the same cluster. Texts come
    with the clips: no recogniser is loaded."""
    folder = tmp_path_factory.mktemp(NAME)
    settings = ["serving.keys.required=true", "serving.layout=fused", "serving.asr.min_replicas=0"]
    config = configured(folder / "workspace", bundles[0], *settings)
    config.workspace.mkdir()
    deploy(config, NAME, bundles[0])
    with open_store(config.store_url) as store:
        scraper = store.keys.create("prometheus", ["metrics"]).token
        caller = store.keys.create("caller", ["recognise"]).token
    jobs = asked(folder, NAME, PORT, scraper)
    clip, wav = clips()[0], io.BytesIO()
    soundfile.write(wav, clip.samples, RATE_HZ, format="WAV")
    routed(started, NAME)
    with (
        prometheus(folder, jobs) as found,
        counted(config, "fine-tuning", SilentProgress()) as job,
        job.stage("fine-tuning", total=10) as stage,
    ):
        for _ in range(3):
            answer = requests.post(
                f"{started}/{NAME}/v1/recognitions/clips",
                headers={"authorization": f"Bearer {caller}"},
                files={"files": ("clip.wav", wav.getvalue())},
                data={"texts": clip.text},
                timeout=60,
            )
            assert answer.status_code == 200, answer.text
            stage.advance(1, loss=0.5, audio_s_per_s=40.0)
        job.checkpoint(folder)
        yield found


def eventually(holds: Callable[[], object], lacking: Sequence[str] = ()) -> None:
    until = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < until, lacking
        time.sleep(1.0)


def test_prometheus_gets_figures_with_a_key(watched: Prometheus) -> None:
    """Of the service and of Ray's agents, each figure once."""
    eventually(lambda: len(watched.value("up == 1")) == 2)
    route = 'persona_requests_total{route="/v1/recognitions/clips", status="200"}'
    eventually(lambda: [value for _, value in watched.value(f"sum({route})")] == [3.0])
    # Counted in replicas, and told by Ray's agent alone, under its own name.
    eventually(lambda: watched.value("persona_batch_size_count"))
    names = set(watched.ask("label/__name__/values"))
    assert not {name for name in names if name.startswith("ray_persona_")}
    eventually(lambda: set(watched.ask("label/__name__/values")) >= OF_RAY)
    assert watched.value('persona_job_running{stage="fine-tuning"}')[0][1] == 1


def test_who_has_no_key_gets_nothing(watched: Prometheus) -> None:
    del watched
    answer = requests.get(f"http://127.0.0.1:{PORT}/{NAME}/metrics", timeout=10)
    assert answer.status_code == 401


def test_the_shipped_rules_are_evaluated(watched: Prometheus) -> None:
    def all_well() -> bool:
        found = [rule for group in watched.ask("rules")["groups"] for rule in group["rules"]]
        assert len(found) > 20
        assert {rule["health"] for rule in found} <= {"ok", "unknown"}, [
            (rule["name"], rule["lastError"]) for rule in found if rule["health"] == "err"
        ]
        return all(rule["health"] == "ok" for rule in found)

    eventually(all_well)
    assert watched.value('ALERTS{alertstate="firing"}') == []


def test_dashboards_show_values(watched: Prometheus) -> None:
    """Each expression is answered; those of what was done here with values."""
    expressions = [one for path in DASHBOARDS for one in read_dashboard(path).expressions]
    done = {
        "persona:requests:rate5m",
        "persona:request_seconds:p95",
        "persona:stage_seconds:p95",
        "persona:colours:share1h",
        "persona_batch_size_sum",
        "persona_confidence_sum",
        "persona:job_running",
        "persona_job_loss",
        "persona_job_units_per_second",
        "ray_node_cpu_utilization",
        "ray_serve_deployment_replica_healthy",
    }
    shown = [one for one in expressions if names_in(one) & done and "route=" not in one]
    assert len(shown) > 10
    for expression in expressions:
        watched.value(expression)
    empty: list[str] = []

    def all_shown() -> bool:
        empty[:] = [one for one in shown if not filled(watched, one)]
        return not empty

    eventually(all_shown, empty)


def filled(watched: Prometheus, expression: str) -> bool:
    found = watched.value(expression)
    # No answer was "none", no replica is ill, nothing was heard: nothing is right there.
    return bool(found) or any(one in expression for one in ('"none"', "== 0", '"hearing"'))
