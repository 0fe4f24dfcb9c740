"""What is counted, by Prometheus' own reader; drift against the evaluation; health."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from persona_ray.config import RunConfig
from persona_ray.errors import ServiceBusyError
from persona_ray.serving.application import Services, build_app
from persona_ray.serving.metrics import Metrics
from persona_ray.serving.routes.health import health
from persona_ray.serving.service import ServedModel
from persona_ray.store import Store
from persona_ray.types import NothingUsable, Recognition
from persona_ray.watch.catalogue import ALL, CONFIDENCE_BINS
from persona_ray.watch.drift import confidence_bin, stability_index
from persona_ray.watch.reference import evaluation_references
from tests.unit.serving.fakes import FakeService

MODEL = ServedModel("persona", "3", ("red", "blue"), True, True, 16_000, "digest")


def sure(confidence: float) -> Recognition:
    return Recognition({"red": confidence, "blue": 1 - confidence}, clips=1)


def values(metrics: Metrics, name: str) -> dict[str, float]:
    """By the values of the labels, joined."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        ",".join(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_prometheus_reads_what_is_counted() -> None:
    metrics = Metrics()
    metrics.request("/v1/x/{id}", "POST", 200, 0.3)
    metrics.request("/v1/x/{id}", "POST", 200, 3.0)
    metrics.refused("key.rate")
    metrics.stages({"hearing": 0.2, "judging": 0.03})
    metrics.audio("live", 12.5)
    metrics.live_calls(3)
    metrics.live_calls(2)
    metrics.answers([sure(0.9), sure(0.6), NothingUsable("silence")], MODEL)
    assert values(metrics, "persona_requests_total") == {"POST,/v1/x/{id},200": 2}
    assert values(metrics, "persona_request_seconds_sum") == {"/v1/x/{id}": 3.3}
    assert values(metrics, "persona_refused_total") == {"key.rate": 1}
    assert values(metrics, "persona_stage_seconds_sum") == {"hearing": 0.2, "judging": 0.03}
    assert values(metrics, "persona_audio_seconds_total") == {"live": 12.5}
    assert values(metrics, "persona_live_calls") == {"": 2}
    assert values(metrics, "persona_colours_total") == {"red": 2, "none": 1}
    assert values(metrics, "persona_confidence_count") == {"": 2}
    # Another service in this process counts for itself.
    assert values(Metrics(), "persona_requests_total") == {}


def test_ray_takes_the_same_instruments() -> None:
    """Ray checks names and tags when it is given them, also without a cluster."""
    from persona_ray.watch.on_ray import RayInstruments

    made = RayInstruments(ALL)
    for one in ALL:
        for value in (0.0, 1.5):
            made.record(one, value, dict.fromkeys(one.labels, "x"))


@pytest.mark.parametrize(
    ("confidence", "number"),
    [(0.0, 0), (1 / 15, 0), (1 / 15 + 1e-6, 1), (0.5, 7), (14 / 15, 13), (0.95, 14), (1.0, 14)],
)
def test_bins_are_those_of_the_report(confidence: float, number: int) -> None:
    assert confidence_bin(confidence) == number


def test_drift_is_told_once_there_is_enough_to_tell() -> None:
    evaluated = [0.0] * CONFIDENCE_BINS
    evaluated[confidence_bin(0.9)], evaluated[confidence_bin(0.6)] = 0.5, 0.5
    metrics = Metrics(find=lambda _: evaluation_references(evaluated, {}))
    for _ in range(49):
        metrics.answers([sure(0.9), sure(0.6)], MODEL)
    assert values(metrics, "persona_confidence_drift") == {}
    metrics.answers([sure(0.9), sure(0.6)], MODEL)
    assert values(metrics, "persona_confidence_drift")["evaluation"] == pytest.approx(0.0, abs=1e-9)
    for _ in range(50):
        metrics.answers([sure(0.6), sure(0.6)], MODEL)
    drifted = values(metrics, "persona_confidence_drift")["evaluation"]
    # Of 200 a quarter is sure where half was: (0.25 - 0.5) ln(0.25 / 0.5) and its mirror image.
    assert drifted == pytest.approx(0.25 * math.log(2) + 0.25 * math.log(1.5))
    for _ in range(1000):
        metrics.answers([sure(0.9)], MODEL)
    assert values(metrics, "persona_confidence_drift")["evaluation"] > drifted
    # Without an evaluation nothing is claimed.
    silent = Metrics()
    silent.answers([sure(0.6)] * 200, MODEL)
    assert values(silent, "persona_confidence_drift") == {}


def test_the_stability_index_is_finite_where_a_bin_is_new() -> None:
    reference = [1.0, *[0.0] * (CONFIDENCE_BINS - 1)]
    assert 1.0 < stability_index(reference, {14: 100}) < math.inf


def test_another_model_says_nothing_of_the_evaluated_ones_drift() -> None:
    shares = (1.0, *[0.0] * (CONFIDENCE_BINS - 1))
    known = {MODEL.digest: evaluation_references(shares, {})}
    metrics = Metrics(find=lambda digest: known.get(digest, {}))
    other = replace(MODEL, digest="other")
    metrics.answers([sure(0.9)] * 200, other)
    assert values(metrics, "persona_confidence_drift") == {}
    metrics.answers([sure(0.9)] * 100, MODEL)
    told = values(metrics, "persona_confidence_drift")["evaluation"]
    assert told == pytest.approx(stability_index(shares, {confidence_bin(0.9): 100}))
    metrics.answers([sure(0.9)] * 901, other)
    assert math.isnan(values(metrics, "persona_confidence_drift")["evaluation"])


def test_an_evaluation_by_other_bins_is_an_error() -> None:
    with pytest.raises(ValueError, match="2 shares"):
        evaluation_references((0.5, 0.5), {})


def test_health_and_readiness_need_no_key(
    store: Store, service: FakeService, config: RunConfig
) -> None:
    client = TestClient(build_app(Services(config, service, store), [health]))
    assert client.get("/health").json() == {"status": "alive"}
    ready = client.get("/health/ready").json()
    assert ready == {"status": "ready", "model": {"name": "persona", "version": "3"}}

    def busy() -> None:
        raise ServiceBusyError("loading")

    service.before = busy
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service.not_ready")
    assert "retry-after" in answer.headers
    assert client.get("/health").status_code == 200


def test_figures_are_for_keys_that_may_see_them(
    store: Store, service: FakeService, config: RunConfig
) -> None:
    client = TestClient(build_app(Services(config, service, store), [health]))
    assert client.get("/metrics").status_code == 401
    token = store.keys.create("prometheus", ["metrics"]).token
    answer = client.get("/metrics", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert 'persona_requests_total{method="GET",route="/metrics",status="401"} 1.0' in answer.text
