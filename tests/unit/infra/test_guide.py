"""Commands of docs/cluster.md: those that need no cluster are run, others name what is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from persona_ray.vault.keys import KeyRing
from tests.unit.infra.manifests import (
    INFRA,
    Document,
    clusters,
    named,
    of_kind,
    overlay,
    problems,
    ray_pods,
)
from tests.unit.infra.test_references import BY_HAND

# The programs that need no cluster, and what each is to be asked for.
ALONE = {"umask", "cp", "perl", "printf"}
APPLY = "kubectl apply --kustomize infra/kubernetes/overlays"
ELSEWHERE = {"podman", "kind", "helm", "kubectl", "ray", "curl", "export", "HEAD"}


@pytest.fixture(scope="module")
def commands(repository: Path) -> list[str]:
    """In their order."""
    text = (repository / "docs/cluster.md").read_text(encoding="utf-8")
    blocks = text.split("```")[1::2]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    diagram = blocks[0].splitlines()
    return [line for line in lines if line.strip() and line not in diagram]


def program(command: str) -> str:
    return re.split(r"[ =]", command, maxsplit=1)[0]


def test_every_command_is_known(commands: list[str]) -> None:
    assert {program(command) for command in commands} == ALONE | ELSEWHERE


def test_secrets_are_made_as_the_guide_says(
    commands: list[str], repository: Path, tmp_path: Path
) -> None:
    if not all(map(shutil.which, ("kubectl", "openssl", "perl"))):
        pytest.skip("no kubectl, openssl or perl")
    (tmp_path / "infra").symlink_to(repository / "infra")
    make = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a.example "
        "-keyout tls.key -out tls.crt"
    )
    script = [f"{make} 2>/dev/null"]
    for command in commands:
        if program(command) in ALONE:
            script.append(command)
        elif command.startswith("kubectl create secret "):
            script.append(f"{command} --dry-run=client --output=yaml; echo ---")
    done = subprocess.run(
        ["bash", "-eu", "-c", "\n".join(script)],
        cwd=tmp_path,
        env=os.environ | {"KEY": "pr_key"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = {
        document["metadata"]["name"]: document
        for document in yaml.safe_load_all(done.stdout)
        if document
    }
    assert set(made) == BY_HAND
    for document in made.values():
        document["metadata"].pop("creationTimestamp")
    assert [refusal for one in made.values() for refusal in problems_of_secret(one)] == []
    values = data_of(made["persona-ray-secrets"])
    passwords = [values["POSTGRES_PASSWORD"], values["REDIS_PASSWORD"]]
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert len(set(values.values())) == len(values)
    assert re.fullmatch("[0-9a-f]{64}", data_of(made["persona-ray-token"])["auth_token"])
    # The one that pods are told of by PERSONA_RAY_VAULT_KEYS.
    (name,) = data_of(made["persona-ray-vault"])
    assert name == "vault.keys"
    assert len(KeyRing(tmp_path / name, makes=False).primary().material) == 32


def problems_of_secret(document: Document) -> list[str]:
    """Its data, whose keys are anybody's, apart."""
    return problems(document | {"data": {}})


def data_of(document: Document) -> dict[str, str]:
    return {key: b64decode(value).decode() for key, value in document["data"].items()}


def test_files_that_commands_name_are_there(commands: list[str], repository: Path) -> None:
    found = set()
    for command in commands:
        for word in shlex.split(command):
            path = word.rpartition("@")[2]
            if path.startswith(("infra/", "demo/", "serve_configs/")):
                assert (repository / path).exists(), command
                found.add(path)
    assert {f"infra/kubernetes/overlays/{name}" for name in ("laptop", "one-gpu", "production")} < (
        found
    )


def test_the_first_apply_leaves_the_applications_out(commands: list[str]) -> None:
    (first, everything) = (c for c in commands if c.startswith(f"{APPLY}/laptop"))
    assert "--selector" not in everything
    # An upgrade does the same, less the last step.
    (upgrade, _) = (c for c in commands if c.startswith(f"{APPLY}/production"))
    assert shlex.split(upgrade)[-1] == shlex.split(first)[-1]
    key, value = shlex.split(first)[-1].split("!=")
    left_out = [
        document["kind"]
        for document in overlay("laptop")
        if document["metadata"].get("labels", {}).get(key) == value
    ]
    assert left_out == ["RayService"]


def test_names_that_commands_use_are_there(commands: list[str]) -> None:
    found = overlay("laptop")
    text = "\n".join(commands)
    assert set(re.findall(r"service/(\S+)-head-svc", text)) == named(found, "RayCluster")
    assert set(re.findall(r"service/(\S+)-serve-svc", text)) == named(found, "RayService")
    assert set(re.findall(r"--namespace (persona-\S+)", text)) == named(found, "Namespace")
    (cluster,) = (one for one in found if one["kind"] == "RayCluster")
    labels = cluster["spec"]["headGroupSpec"]["template"]["metadata"]["labels"]
    (selector,) = re.findall(r"pods --selector (\S+)=(\S+)", text)
    assert labels[selector[0]] == selector[1]


def test_versions_are_those_of_the_manifests(commands: list[str]) -> None:
    tags = set(re.findall(r"persona-ray:([\w.-]+)", "\n".join(commands)))
    overlays = {
        re.search(r"newTag: ([^\s}]+)", path.read_text(encoding="utf-8"))[1]  # type: ignore[index]
        for path in (INFRA / "kubernetes/overlays").glob("*/kustomization.yaml")
    }
    assert tags == overlays
    (operator,) = re.findall(r"--version (\d+\.\d+)", "\n".join(commands))
    readme = (Path(__file__).parent / "schemas/README.md").read_text(encoding="utf-8")
    assert f"KubeRay {operator}" in readme


@pytest.mark.parametrize(("name", "section"), [("laptop", ""), ("one-gpu", "## One machine")])
def test_machines_are_large_enough_for_all_pods_there_may_be(
    name: str, section: str, repository: Path
) -> None:
    text = (repository / "docs/cluster.md").read_text(encoding="utf-8")
    text = text[text.index(section) :]
    processors, gigabytes = re.findall(r"(\d+)\s+processors,\s+(\d+)\s+GB\s+of\s+memory", text)[0]
    wanted = [0.0, 0.0]
    for count, resources in asked_for(overlay(name)):
        wanted[0] += count * quantity(resources["cpu"])
        wanted[1] += count * quantity(resources["memory"])
    # A tenth is for the system and Kubernetes itself.
    assert wanted[0] <= 0.9 * int(processors)
    assert wanted[1] <= 0.9 * int(gigabytes) * 1e9


def asked_for(found: tuple[Document, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Of each pod: how many at most, and what its containers request."""
    for _, cluster in clusters(found):
        yield 1, cluster["autoscalerOptions"]["resources"]["requests"]
        counts = {group["groupName"]: group["maxReplicas"] for group in cluster["workerGroupSpecs"]}
        for group, template in ray_pods(cluster):
            yield counts.get(group, 1), template["spec"]["containers"][0]["resources"]["requests"]
    for document in of_kind(found, "Deployment", "StatefulSet"):
        (container,) = document["spec"]["template"]["spec"]["containers"]
        yield 1, container["resources"]["requests"]
    for document in of_kind(found, "CronJob"):
        (container,) = document["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        yield 1, container["resources"]["requests"]


def quantity(text: str) -> float:
    """Of processors, or bytes."""
    for suffix, factor in (("m", 1e-3), ("Mi", 2.0**20), ("Gi", 2.0**30)):
        if text.endswith(suffix):
            return float(text.removesuffix(suffix)) * factor
    return float(text)
