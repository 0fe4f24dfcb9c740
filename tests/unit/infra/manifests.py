"""The manifests of infra/, built, and checked against schemas of Kubernetes and its operators."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.conftest import REPOSITORY

INFRA = REPOSITORY / "infra"
KUBERNETES = INFRA / "kubernetes"
OVERLAYS = ("laptop", "one-gpu", "production")
VERSION = "1.32"

_SCHEMAS = Path(__file__).with_name("schemas")
_OWN = {
    "ray.io/v1": "ray",
    "monitoring.coreos.com/v1": "monitoring",
    "kustomize.config.k8s.io/v1beta1": "kustomize",
    "kustomize.config.k8s.io/v1alpha1": "kustomize",
}
# Keys of maps that the schemas leave open: a new one is written down here, a mistyped one is found.
_LABELS = {
    "app.kubernetes.io/component",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/part-of",
    "grafana_dashboard",
    "kubernetes.io/metadata.name",
    "persona-ray/clients",
    "persona-ray/data",
    "pod-security.kubernetes.io/enforce",
    "ray.io/cluster",
    "ray.io/is-ray-node",
    "ray.io/node-type",
    "severity",
}
_RESOURCES = {"cpu", "memory", "storage", "nvidia.com/gpu"}
_OPEN = {
    "labels": _LABELS,
    "matchLabels": _LABELS,
    "selector": _LABELS,
    "clusterSelector": _LABELS,
    "limits": _RESOURCES,
    "requests": _RESOURCES,
    "rayStartParams": {"num-cpus"},
    "data": {
        "persona-ray.yaml",
        "mlflow.sql",
        *(path.name for path in (INFRA / "watching/dashboards").glob("*.json")),
    },
    "annotations": {
        "description",
        "runbook_url",
        "summary",
        "nginx.ingress.kubernetes.io/proxy-body-size",
        "nginx.ingress.kubernetes.io/proxy-read-timeout",
        "nginx.ingress.kubernetes.io/proxy-send-timeout",
    },
}

Document = dict[str, Any]


@cache
def built(folder: str) -> tuple[Document, ...]:
    """What `kubectl apply --kustomize infra/kubernetes/FOLDER` would send."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl")
    done = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return tuple(_loaded(done.stdout))


def overlay(name: str) -> tuple[Document, ...]:
    return built(f"overlays/{name}")


def documents(path: Path) -> list[Document]:
    """Of a file of YAML."""
    return list(_loaded(path.read_text(encoding="utf-8")))


def _loaded(text: str) -> Iterator[Document]:
    # As safe as yaml.safe_load_all, and ten times as quick: an overlay has 4,000 lines.
    return yaml.load_all(text, Loader=yaml.CSafeLoader)


def problems(document: Document) -> list[str]:
    """What the API server would refuse, unknown fields included, and unknown keys of open maps."""
    errors = _validator_of(document).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors] + list(_unknown(document))


def refused(document: Document) -> bool:
    """Whether there is any problem; sooner than to list them."""
    return not _validator_of(document).is_valid(document) or any(_unknown(document))


def _validator_of(document: Document) -> Draft202012Validator:
    return validator(str(document.get("apiVersion")), str(document.get("kind")))


@cache
def validator(api_version: str, kind: str) -> Draft202012Validator:
    registry = _registry()
    if api_version in _OWN:
        uri = f"https://kubernetes.io/api/{_OWN[api_version]}.json"
        known = kind in registry.contents(uri)["$defs"]
        own = {"$ref": f"{uri}#/$defs/{kind}"} if known else False
        return Draft202012Validator(own, registry=registry)
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], version)))
    file = _released() / f"{name}.json"
    schema = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else False
    return Draft202012Validator(schema, registry=registry)


@cache
def _registry() -> Registry[Any]:
    files = [_released() / "_definitions.json", *_SCHEMAS.glob("*.json")]
    found = (Resource.from_contents(json.loads(file.read_text(encoding="utf-8"))) for file in files)
    return found @ Registry()


def _released() -> Path:
    """Schemas of Kubernetes' own kinds, in which unknown fields are forbidden."""
    package = Path(kubernetes_validate.__file__).parent
    return package / "kubernetes-json-schema" / f"v{VERSION}.0-local-strict"


def _unknown(node: object, path: str = "$") -> Iterator[str]:
    for key, value, where in children(node, path):
        known = _OPEN.get(str(key))
        if known is not None and isinstance(value, Mapping) and not _is_selector(value):
            yield from (f"{where}: unknown key '{name}'" for name in value if name not in known)
        yield from _unknown(value, where)


def _is_selector(value: Mapping[str, Any]) -> bool:
    """A selector proper, whose own labels stand a level below."""
    return bool({"matchLabels", "matchExpressions"} & set(value))


def children(node: object, path: str = "$") -> Iterator[tuple[object, object, str]]:
    """Key or index, value and path of what is right below `node`."""
    if isinstance(node, Mapping):
        yield from ((key, value, f"{path}.{key}") for key, value in node.items())
    elif isinstance(node, list):
        yield from ((n, value, f"{path}[{n}]") for n, value in enumerate(node))


def everywhere(node: object, name: str) -> Iterator[Any]:
    """Values of every key `name`, however deep."""
    for key, value, _ in children(node):
        if key == name:
            yield value
        yield from everywhere(value, name)


def of_kind(found: tuple[Document, ...], *kinds: str) -> list[Document]:
    return [document for document in found if document["kind"] in kinds]


def named(found: tuple[Document, ...], kind: str) -> set[str]:
    return {document["metadata"]["name"] for document in of_kind(found, kind)}


def clusters(found: tuple[Document, ...]) -> Iterator[tuple[str, Document]]:
    """Name and specification of each Ray cluster, those of services included."""
    for document in of_kind(found, "RayCluster", "RayService"):
        spec = document["spec"]
        yield document["metadata"]["name"], spec.get("rayClusterConfig", spec)


def ray_pods(cluster: Document) -> Iterator[tuple[str, Document]]:
    """Group and pod template of a cluster."""
    yield "head", cluster["headGroupSpec"]["template"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]


def pods(found: tuple[Document, ...]) -> Iterator[tuple[str, Document, dict[str, str]]]:
    """Name, template and labels (the operator's too) of every pod that an overlay starts."""
    for name, cluster in clusters(found):
        for group, template in ray_pods(cluster):
            node = "head" if group == "head" else "worker"
            operators = {"ray.io/is-ray-node": "yes", "ray.io/node-type": node}
            yield f"{name}/{group}", template, template["metadata"]["labels"] | operators
    for document in of_kind(found, "Deployment", "StatefulSet"):
        template = document["spec"]["template"]
        yield document["metadata"]["name"], template, template["metadata"]["labels"]
    for document in of_kind(found, "CronJob"):
        template = document["spec"]["jobTemplate"]["spec"]["template"]
        yield document["metadata"]["name"], template, template["metadata"]["labels"]


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector of Kubernetes takes what has these labels."""
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        assert rule["operator"] == "In", "only In is understood here"
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True
