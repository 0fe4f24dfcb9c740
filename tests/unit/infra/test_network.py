"""Who reaches whom, by the network policies of each overlay as Kubernetes reads them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
import yaml

from tests.unit.infra.manifests import (
    KUBERNETES,
    OVERLAYS,
    Document,
    of_kind,
    overlay,
    pods,
    selects,
)

GCS, DASHBOARD, CLIENT, SERVE, METRICS = 6379, 8265, 10001, 8600, 8080
POSTGRES, REDIS, MLFLOW = 5432, 6379, 5000


@dataclass(frozen=True)
class Peer:
    """A pod of the namespace (`labels`), one of another (`namespace`), or an address."""

    labels: tuple[tuple[str, str], ...] = ()
    namespace: tuple[tuple[str, str], ...] = ()
    address: str = ""


def elsewhere(name: str, **labels: str) -> Peer:
    given = {"kubernetes.io/metadata.name": name}
    given |= {f"persona-ray/{key}": value for key, value in labels.items()}
    return Peer(namespace=tuple(given.items()))


STRANGER = elsewhere("default")
OPERATOR = elsewhere("ray-system")
PROMETHEUS = elsewhere("monitoring")
GATE = elsewhere("ingress-nginx", clients="yes")
INTERNET = Peer(address="203.0.113.7")
OWN_NETWORK = Peer(address="10.1.2.3")


def pod(found: tuple[Document, ...], component: str) -> Peer:
    for _, _, labels in pods(found):
        if labels["app.kubernetes.io/component"] == component:
            return Peer(labels=tuple(labels.items()))
    raise AssertionError(f"no pod is {component}")


def takes(rule: dict[str, Any], peer: Peer) -> bool:
    """Whether an entry of `from` or `to` means the peer."""
    if "ipBlock" in rule:
        return bool(peer.address) and ip_address(peer.address) in ip_network(
            rule["ipBlock"]["cidr"]
        )
    if "namespaceSelector" in rule:
        assert "podSelector" not in rule, "not understood here"
        return bool(peer.namespace) and selects(rule["namespaceSelector"], dict(peer.namespace))
    return bool(peer.labels) and selects(rule["podSelector"], dict(peer.labels))


def allowed(found: tuple[Document, ...], of: Peer, way: str, other: Peer, port: int) -> bool:
    """`way`: Ingress or Egress of the pod `of`. What no policy selects may do everything."""
    selecting = [
        policy["spec"]
        for policy in of_kind(found, "NetworkPolicy")
        if way in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], dict(of.labels))
    ]
    peers = "from" if way == "Ingress" else "to"
    return not selecting or any(
        (peers not in rule or any(takes(entry, other) for entry in rule[peers]))
        and ("ports" not in rule or port in {entry["port"] for entry in rule["ports"]})
        for spec in selecting
        for rule in spec.get(way.lower(), [])
    )


def reaches(found: tuple[Document, ...], source: Peer, target: Peer, port: int) -> bool:
    """Both must allow it, where both are pods of the namespace."""
    out = not source.labels or allowed(found, source, "Egress", target, port)
    return out and (not target.labels or allowed(found, target, "Ingress", source, port))


@pytest.fixture(params=OVERLAYS)
def found(request: pytest.FixtureRequest) -> tuple[Document, ...]:
    return overlay(request.param)


HEADS = ("jobs-head", "serving-head")


def test_strangers_reach_nobody(found: tuple[Document, ...]) -> None:
    every = {Peer(labels=tuple(labels.items())) for _, _, labels in pods(found)}
    for target in every:
        for port in (GCS, DASHBOARD, CLIENT, SERVE, METRICS, POSTGRES, MLFLOW, 22, 52365):
            assert not reaches(found, STRANGER, target, port)
            assert not reaches(found, INTERNET, target, port)


@pytest.mark.parametrize("head", HEADS)
def test_who_reaches_a_head(found: tuple[Document, ...], head: str) -> None:
    target = pod(found, head)
    worker = pod(found, "jobs-cpu")
    by_port = {
        port: {
            name
            for name, peer in (
                ("worker", worker),
                ("operator", OPERATOR),
                ("prometheus", PROMETHEUS),
                ("gate", GATE),
            )
            if reaches(found, peer, target, port)
        }
        for port in (GCS, DASHBOARD, CLIENT, METRICS)
    }
    assert by_port == {
        GCS: {"worker"},
        DASHBOARD: {"worker", "operator"},
        CLIENT: {"worker"},
        METRICS: {"worker", "prometheus"},
    }


def test_clients_reach_the_applications_alone(found: tuple[Document, ...]) -> None:
    serving = pod(found, "serving-worker")
    assert reaches(found, GATE, serving, SERVE)
    assert not reaches(found, GATE, serving, GCS)
    assert not reaches(found, GATE, pod(found, "jobs-cpu"), SERVE)
    assert reaches(found, OPERATOR, serving, SERVE)


@pytest.mark.parametrize("name", ["laptop", "one-gpu"])
def test_who_reaches_the_databases(name: str) -> None:
    found = overlay(name)
    head, worker = pod(found, "jobs-head"), pod(found, "jobs-cpu")
    serving, mlflow = pod(found, "serving-worker"), pod(found, "mlflow")
    postgres, redis = pod(found, "postgres"), pod(found, "redis")
    for source in (head, worker, serving, mlflow):
        assert reaches(found, source, postgres, POSTGRES)
    assert reaches(found, head, redis, REDIS)
    # Whoever runs code on a worker cannot rewrite what a head goes on with.
    assert not reaches(found, worker, redis, REDIS)
    assert reaches(found, worker, mlflow, MLFLOW)
    assert not reaches(found, mlflow, head, GCS)
    assert not reaches(found, postgres, mlflow, MLFLOW)


def test_nobody_but_heads_reaches_the_internet(found: tuple[Document, ...]) -> None:
    for component in ("jobs-cpu", "serving-worker"):
        source = pod(found, component)
        assert not reaches(found, source, INTERNET, 443)
    # The API server's address is of no pod, and known to the cluster alone.
    assert reaches(found, pod(found, "jobs-head"), INTERNET, 6443)
    assert not reaches(found, pod(found, "jobs-head"), INTERNET, 80)


def test_production_reaches_what_is_outside() -> None:
    found = overlay("production")
    head, worker = pod(found, "jobs-head"), pod(found, "jobs-gpu")
    for port in (POSTGRES, 443):
        assert reaches(found, worker, OWN_NETWORK, port)
    assert reaches(found, head, OWN_NETWORK, REDIS)
    assert not reaches(found, worker, OWN_NETWORK, REDIS)


def test_what_is_done_at_night_reaches_data_and_nothing_else() -> None:
    alone, outside = overlay("one-gpu"), overlay("production")
    night = pod(alone, "nightly")
    assert reaches(alone, night, pod(alone, "postgres"), POSTGRES)
    assert reaches(alone, night, pod(alone, "mlflow"), MLFLOW)
    assert not reaches(alone, night, pod(alone, "redis"), REDIS)
    for found in (alone, outside):
        for port in (POSTGRES, 443):
            assert reaches(found, night, OWN_NETWORK, port)
        assert not reaches(found, night, INTERNET, 443)
        for port in (GCS, DASHBOARD, CLIENT):
            assert not reaches(found, night, pod(found, "jobs-head"), port)


@pytest.mark.parametrize("name", ["one-gpu", "production"])
def test_a_collector_of_traces_is_reached_by_one_line(name: str) -> None:
    path = KUBERNETES / "overlays" / name / "network.yaml"
    text = path.read_text(encoding="utf-8").replace("# - {port: 4318", "- {port: 4318")
    let_out = {one["metadata"]["name"]: one for one in yaml.safe_load_all(text)}
    found = tuple(let_out.get(one["metadata"]["name"], one) for one in overlay(name))
    for component in ("jobs-head", "jobs-cpu", "jobs-gpu", "serving-worker", "nightly"):
        source = pod(found, component)
        assert reaches(found, source, OWN_NETWORK, 4318), component
        assert not reaches(overlay(name), source, OWN_NETWORK, 4318), component


def test_prometheus_reaches_whom_it_asks() -> None:
    """Whom it asks in vain is down for ever, and an alert."""
    found = overlay("production")
    prometheus = elsewhere("monitoring", clients="yes")
    for monitor in of_kind(found, "PodMonitor"):
        asked = 0
        for _, template, labels in pods(found):
            (container,) = template["spec"]["containers"]
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                if selects(monitor["spec"]["selector"], labels) and endpoint["port"] in ports:
                    asked += 1
                    target = Peer(labels=tuple(labels.items()))
                    assert reaches(found, prometheus, target, ports[endpoint["port"]]), labels
        assert asked, monitor["metadata"]["name"]


def test_ports_of_the_rules_are_ports_of_containers(found: tuple[Document, ...]) -> None:
    for policy in of_kind(found, "NetworkPolicy"):
        spec = policy["spec"]
        for rule in spec.get("ingress", []):
            for entry in rule.get("ports", []):
                offering = [
                    name
                    for name, template, labels in pods(found)
                    if selects(spec["podSelector"], labels) and entry["port"] in ports_of(template)
                ]
                assert offering, (policy["metadata"]["name"], entry["port"])


def ports_of(template: Document) -> set[int]:
    containers = template["spec"]["containers"]
    return {port["containerPort"] for one in containers for port in one.get("ports", [])}
