"""What manifests name is there: in the overlay, in the image, or in the guide, made by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.config import load_config
from tests.unit.infra.manifests import (
    INFRA,
    KUBERNETES,
    OVERLAYS,
    Document,
    clusters,
    documents,
    everywhere,
    named,
    of_kind,
    overlay,
    pods,
    ray_pods,
    selects,
)

# Made by hand, as docs/cluster.md says, because their values stand in no file.
BY_HAND = {f"persona-ray-{name}" for name in ("secrets", "token", "vault", "tls", "metrics")}
# The operator's, one for each RayService.
SERVE_SERVICE = "{}-serve-svc"
SERVE = 8600
JOBS = sorted((KUBERNETES / "jobs").glob("*.yaml"))


@pytest.fixture(params=OVERLAYS)
def found(request: pytest.FixtureRequest) -> tuple[Document, ...]:
    return overlay(request.param)


def secrets_of(node: Any) -> Iterator[str]:
    for name in ("secretRef", "secretKeyRef", "credentials"):
        yield from (reference["name"] for reference in everywhere(node, name))
    yield from (str(name) for name in everywhere(node, "secretName"))


def test_what_is_named_is_there(found: tuple[Document, ...]) -> None:
    claims = named(found, "PersistentVolumeClaim")
    maps = named(found, "ConfigMap")
    accounts = named(found, "ServiceAccount")
    for name, template, _ in pods(found):
        spec = template["spec"]
        for volume in spec.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, name
            if "configMap" in volume:
                assert volume["configMap"]["name"] in maps, name
        assert spec.get("serviceAccountName", "persona-ray-worker") in accounts, name
    assert set(secrets_of(list(found))) <= BY_HAND


def test_what_is_mounted_has_a_volume(found: tuple[Document, ...]) -> None:
    made = {
        claim["metadata"]["name"]
        for document in of_kind(found, "StatefulSet")
        for claim in document["spec"]["volumeClaimTemplates"]
    }
    for name, template, _ in pods(found):
        volumes = {volume["name"] for volume in template["spec"].get("volumes", [])} | made
        for container in template["spec"]["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes, name


def test_what_is_made_by_hand_is_in_the_guide(repository: Path) -> None:
    guide = (repository / "docs/cluster.md").read_text(encoding="utf-8")
    made = set(re.findall(r"kubectl create secret (?:generic|tls) (\S+)", guide))
    assert made == BY_HAND


def test_each_environment_variable_of_a_secret_is_in_the_example(
    found: tuple[Document, ...],
) -> None:
    example = variables(KUBERNETES / "secrets.example.env")
    keys = {reference["key"] for reference in everywhere(list(found), "secretKeyRef")}
    assert keys <= set(example)
    configurations = "".join(
        (KUBERNETES / "overlays" / name / "persona-ray.yaml").read_text(encoding="utf-8")
        for name in OVERLAYS
    )
    assert set(re.findall(r"\$\{(\w+)\}", configurations)) <= set(example)


def variables(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_no_secret_has_a_value_anywhere() -> None:
    for path in KUBERNETES.rglob("*.yaml"):
        for document in documents(path):
            assert not isinstance(document, dict) or document.get("kind") != "Secret", path
            assert not list(everywhere(document, "secretGenerator")), path
            for entry in everywhere(document, "env"):
                for variable in entry:
                    secret = re.search("PASSWORD|TOKEN|SECRET|KEY_ID", variable["name"])
                    assert not secret or "value" not in variable, path
    for name, value in variables(KUBERNETES / "secrets.example.env").items():
        assert re.fullmatch("<.+>", value), f"{name} is no placeholder"
    for path in INFRA.rglob("*"):
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|\b[0-9a-f]{40,}\b", text)


def test_services_and_budgets_select_pods_that_there_are(found: tuple[Document, ...]) -> None:
    labels = [of for _, _, of in pods(found)]
    for document in of_kind(found, "Service"):
        selector = {"matchLabels": document["spec"]["selector"]}
        assert any(selects(selector, of) for of in labels), document["metadata"]["name"]
    for document in of_kind(found, "PodDisruptionBudget"):
        name, spec = document["metadata"]["name"], document["spec"]
        assert any(selects(spec["selector"], of) for of in labels), name
        # The only kind that is counted for pods of an operator.
        assert set(spec) == {"minAvailable", "selector"}, name
        assert isinstance(spec["minAvailable"], int), name
    for document in of_kind(found, "PodMonitor"):
        assert any(selects(document["spec"]["selector"], of) for of in labels)


def test_topology_is_of_the_pod_itself(found: tuple[Document, ...]) -> None:
    for name, template, labels in pods(found):
        for constraint in template["spec"].get("topologySpreadConstraints", []):
            assert selects(constraint["labelSelector"], labels), name


def test_addresses_are_of_services_that_there_are(found: tuple[Document, ...]) -> None:
    """Within the namespace; others have a domain."""
    services = {
        document["metadata"]["name"]: {port["port"] for port in document["spec"]["ports"]}
        for document in of_kind(found, "Service")
    }
    for name in named(found, "RayService"):
        services[SERVE_SERVICE.format(name)] = {SERVE}
    for _, cluster in clusters(found):
        assert_known(cluster["gcsFaultToleranceOptions"]["redisAddress"], services)
    (configuration,) = {
        document["data"]["persona-ray.yaml"]
        for document in of_kind(found, "ConfigMap")
        if "persona-ray.yaml" in document["data"]
    }
    for address in re.findall(r"(?:@|http://)([\w.-]+:\d+)", configuration):
        assert_known(address, services)
    for document in of_kind(found, "Ingress"):
        for service in everywhere(document, "service"):
            assert service["name"] in services
            assert service["port"] == {"name": "serve"}


def assert_known(address: str, services: dict[str, set[int]]) -> None:
    host, _, port = address.rpartition(":")
    assert "." in host or int(port) in services.get(host, set()), address


def test_the_operators_image_is_one_and_the_same(found: tuple[Document, ...]) -> None:
    ours = {
        container["image"]
        for name, template, _ in pods(found)
        for container in template["spec"]["containers"]
        if name not in ("postgres", "redis")
    }
    (image,) = ours
    assert re.fullmatch(r"[\w.]+/persona-ray:[\w.-]+", image)


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_a_job_runs_what_is_in_the_image(path: Path, repository: Path) -> None:
    (job,) = documents(path)
    spec = job["spec"]
    match = re.fullmatch(
        r"python /app/(jobs/\w+\.py) --config /etc/persona-ray/(\S+)", spec["entrypoint"]
    )
    assert match, spec["entrypoint"]
    assert (repository / match[1]).is_file()
    assert spec["clusterSelector"] == {"ray.io/cluster": "persona-ray"}
    # A cluster that is there already is neither ended with the job nor made again for it.
    assert not {"shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"} & set(spec)
    assert f"jobs/{path.name}" in path.read_text(encoding="utf-8").splitlines()[1]
    for name in OVERLAYS:
        assert "persona-ray" in named(overlay(name), "RayCluster")
        maps = of_kind(overlay(name), "ConfigMap")
        (mounted,) = (one for one in maps if one["metadata"]["name"] == "persona-ray")
        assert match[2] in mounted["data"]


@pytest.mark.parametrize("name", ["one-gpu", "production"])
def test_what_is_done_at_night_is_a_command(name: str) -> None:
    said = {}
    for job in of_kind(overlay(name), "CronJob"):
        (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        program, *words = container["command"]
        assert program == "persona-ray"
        # Options and commands that there are not are refused all the same.
        assert CliRunner().invoke(app, [*words, "--help"]).exit_code == 0, words
        said[" ".join(words[:2])] = job["spec"].get("suspend", False)
        variables = {entry["name"] for entry in container["env"]}
        assert set(re.findall(r"\$\((\w+)\)", " ".join(words))) <= variables
        (config,) = (one for one in container["volumeMounts"] if one["name"] == "config")
        assert words[-2:] == ["--config", f"{config['mountPath']}/persona-ray.yaml"]
    # A backup has nowhere to go until somebody says where.
    assert said == {"retention apply": False, "backup create": True}


def test_jobs_of_every_kind_are_there() -> None:
    wanted = {"corpus", "pretrain-speech", "pretrain-text", "finetune", "sweep"}
    assert wanted | {"doctor", "evaluate", "main", "recognize-archive"} == {
        path.stem for path in JOBS
    }


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_configuration_keeps_everything_on_what_is_shared(name: str) -> None:
    config = load_config(KUBERNETES / "overlays" / name / "persona-ray.yaml")
    assert config.workspace.is_relative_to("/workspace")
    assert config.store_url.startswith("postgresql+psycopg://")
    assert config.tracking.url.startswith("http")


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_have_room_for_what_jobs_ask(name: str) -> None:
    """A worker of a job that fits into no pod would wait for ever."""
    config = load_config(KUBERNETES / "overlays" / name / "persona-ray.yaml")
    (cluster,) = (spec for cluster, spec in clusters(overlay(name)) if cluster == "persona-ray")
    room = []
    for group, template in ray_pods(cluster):
        limits = template["spec"]["containers"][0]["resources"]["limits"]
        if group != "head":
            room.append((float(limits["cpu"]), float(limits.get("nvidia.com/gpu", 0))))
    wanted = (config.launch.cpus_per_worker, config.launch.gpus_per_worker)
    assert any(cpus >= wanted[0] and gpus >= wanted[1] for cpus, gpus in room)
    at_once = sum(
        group["maxReplicas"] * int(gpus // wanted[1])
        for group, (_, gpus) in zip(cluster["workerGroupSpecs"], room, strict=True)
        if wanted[1]
    )
    assert not wanted[1] or at_once >= config.launch.workers


def test_rays_version_is_that_of_the_lock(found: tuple[Document, ...], repository: Path) -> None:
    lock = (repository / "requirements.lock").read_text(encoding="utf-8")
    (version,) = re.findall(r"^ray(?:\[[\w,]+\])?==(\S+)", lock, flags=re.MULTILINE)
    assert {cluster["rayVersion"] for _, cluster in clusters(found)} == {version}


def test_nobody_is_root_and_no_code_has_a_token_of_kubernetes(
    found: tuple[Document, ...],
) -> None:
    for name, template, labels in pods(found):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        # The autoscaler beside a head needs one.
        if labels.get("ray.io/node-type") != "head":
            assert spec["automountServiceAccountToken"] is False, name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, name
            assert security["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert {"cpu", "memory"} <= set(container["resources"]["limits"]), name
    for name, cluster in clusters(found):
        assert cluster["authOptions"]["mode"] == "token", name
        assert cluster["autoscalerOptions"]["securityContext"]["capabilities"]["drop"] == ["ALL"]
        # Drivers and tasks run where no such token is.
        assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}, name


def test_git_does_not_take_secrets(repository: Path) -> None:
    ignored = (repository / ".gitignore").read_text(encoding="utf-8").split()
    assert {"secrets.env", "vault.keys"} <= set(ignored)
