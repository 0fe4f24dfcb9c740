"""Every manifest is one that Kubernetes and its operators take; a typo in any of them is found."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from persona_ray.config import load_config
from tests.unit.infra.manifests import (
    KUBERNETES,
    OVERLAYS,
    Document,
    built,
    children,
    documents,
    everywhere,
    overlay,
    problems,
    refused,
    validator,
)

FILES = sorted(path.relative_to(KUBERNETES).as_posix() for path in KUBERNETES.rglob("*.yaml"))
JOBS = [name for name in FILES if name.startswith("jobs/")]
CONFIGURATION = "persona-ray.yaml"
REFERENCES = "kustomizeconfig.yaml"
KUSTOMIZATION = "kustomization.yaml"
# Less a part, which what is built of them has.
PARTS = ("serve.yaml", "applications/cluster/cluster.yaml", "components/nightly/pod.yaml")


def kustomize(kind: str) -> Draft202012Validator:
    return validator("kustomize.config.k8s.io/v1beta1", kind)


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_what_reads_it_takes(name: str) -> None:
    path = KUBERNETES / name
    if path.name == CONFIGURATION:
        load_config(path)
        return
    for document in documents(path):
        if path.name == REFERENCES:
            kustomize("NameReference").validate(document)
        elif isinstance(document, list):
            kustomize("JsonPatch").validate(document)
        elif not name.endswith(PARTS):
            assert problems(document) == []
        for patch in document.get("patches", []) if path.name == KUSTOMIZATION else []:
            if "patch" in patch:
                kustomize("JsonPatch").validate(yaml.safe_load(patch["patch"]))


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_an_overlay_sends_is_taken(name: str) -> None:
    for document in overlay(name):
        assert problems(document) == [], (document["kind"], document["metadata"]["name"])


def test_an_upgrade_step_by_step_is_taken(tmp_path: Path) -> None:
    def relative(part: str) -> str:
        return os.path.relpath(KUBERNETES / "applications" / part, tmp_path.resolve())

    tree = {"resources": [relative("personality")], "components": [relative("incremental")]}
    (tmp_path / KUSTOMIZATION).write_text(yaml.safe_dump(tree), encoding="utf-8")
    found = built(os.path.relpath(tmp_path.resolve(), KUBERNETES))
    (service,) = (document for document in found if document["kind"] == "RayService")
    assert service["spec"]["upgradeStrategy"]["type"] == "NewClusterWithIncrementalUpgrade"
    assert problems(service) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_changed_configuration_is_a_changed_service(name: str) -> None:
    maps = {one["metadata"]["name"] for one in overlay(name) if one["kind"] == "ConfigMap"}
    (hashed,) = (one for one in maps if one.startswith("persona-ray-serving-"))
    for service in (one for one in overlay(name) if one["kind"] == "RayService"):
        mounted = [one["name"] for one in everywhere(service, "configMap")]
        assert mounted == [hashed] * 2


def keys(node: object, path: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Paths of every key of every map."""
    for key, value, _ in children(node):
        if isinstance(node, dict):
            yield (*path, key)
        yield from keys(value, (*path, key))


_TRIED: dict[tuple[str, frozenset[tuple[object, ...]]], list[tuple[object, ...]]] = {}


def taken_with_a_typo(document: Document) -> list[tuple[object, ...]]:
    """Keys that may have one letter more. What has the same keys is tried once."""
    shape = (document["kind"], frozenset(keys(document)))
    if shape not in _TRIED:
        _TRIED[shape] = _taken_with_a_typo(document)
    return _TRIED[shape]


def _taken_with_a_typo(document: Document) -> list[tuple[object, ...]]:
    taken: list[tuple[object, ...]] = []
    changed = copy.deepcopy(document)
    for *way, key in list(keys(document)):
        node: Any = changed
        for step in way:
            node = node[step]
        node[f"{key}x"] = node.pop(key)
        if not refused(changed):
            taken.append((*way, key))
        node[key] = node.pop(f"{key}x")
    assert changed == document
    return taken


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_mistyped_key_is_refused_wherever_it_stands(name: str) -> None:
    found = overlay(name)
    assert sum(1 for document in found for _ in keys(document)) > 500
    taken = [(document["kind"], taken_with_a_typo(document)) for document in found]
    assert [(kind, paths) for kind, paths in taken if paths] == []


@pytest.mark.parametrize("name", JOBS)
def test_a_mistyped_key_of_a_job_is_refused(name: str) -> None:
    (document,) = documents(KUBERNETES / name)
    assert taken_with_a_typo(document) == []
