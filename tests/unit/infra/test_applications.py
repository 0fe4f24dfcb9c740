"""The applications of the manifests are those of serve_configs/, as Ray Serve reads them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from persona_ray.apps.arguments import configured
from persona_ray.config.serving import ServingConfig
from tests.unit.infra.manifests import KUBERNETES, Document, built, children, of_kind, ray_pods

APPLICATIONS = ("personality", "screening", "assist")


def service(name: str) -> Document:
    (document,) = of_kind(built(f"applications/{name}"), "RayService")
    return document


def serve_config(name: str) -> Document:
    found = yaml.safe_load(service(name)["spec"]["serveConfigV2"])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_is_that_of_serve_configs(name: str, repository: Path) -> None:
    shipped = yaml.safe_load((repository / f"serve_configs/{name}.yaml").read_text("utf-8"))
    found = serve_config(name)
    # Where it listens, and what it is configured by, is the cluster's.
    assert shipped["http_options"].pop("host") == "127.0.0.1"
    assert found["http_options"].pop("host") == "0.0.0.0"
    for config in (shipped, found):
        for application in config["applications"]:
            application.pop("args")
    assert found == shipped


@pytest.mark.parametrize("name", APPLICATIONS)
def test_ray_serve_takes_it(name: str) -> None:
    from ray.serve.schema import ServeDeploySchema

    parsed = ServeDeploySchema.model_validate(serve_config(name))
    assert [application.name for application in parsed.applications] == [name]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_its_arguments_are_read(name: str, repository: Path) -> None:
    """By a configuration of each overlay, with what the application sets itself."""
    (application,) = serve_config(name)["applications"]
    arguments = application["args"]
    mounted = Path(arguments["config"])
    assert mounted.parent == Path("/etc/persona-ray")
    for overlay in ("laptop", "one-gpu", "production"):
        path = KUBERNETES / "overlays" / overlay / mounted.name
        config = configured(arguments | {"config": str(path)}, name)
        # As on one machine, where configs/NAME.yaml says so.
        alone = repository / f"configs/{name}.yaml"
        if alone.is_file():
            shipped = yaml.safe_load(alone.read_text("utf-8")).get("serving", {})
            for key, value in shipped.get("live", {}).items():
                assert getattr(config.serving.live, key) == value


@pytest.mark.parametrize("name", APPLICATIONS)
def test_probes_find_the_port_by_its_name(name: str) -> None:
    port = ServingConfig().port
    assert serve_config(name)["http_options"]["port"] == port
    for group, template in ray_pods(service(name)["spec"]["rayClusterConfig"]):
        (container,) = template["spec"]["containers"]
        named = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
        assert named["serve"] == port, group


@pytest.mark.parametrize("name", APPLICATIONS)
def test_a_new_cluster_takes_over_while_the_old_one_answers(name: str) -> None:
    spec = service(name)["spec"]
    assert spec["upgradeStrategy"] == {"type": "NewCluster"}
    grace = spec["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]
    assert spec["rayClusterDeletionDelaySeconds"] > grace["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_it_is_told_from_the_others(name: str) -> None:
    found = built(f"applications/{name}")
    assert {document["metadata"]["name"] for document in found} == {name}
    for _, template in ray_pods(service(name)["spec"]["rayClusterConfig"]):
        assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == name
    assert not any(value == "application" for value in _values(list(found)))


def _values(node: object) -> Iterator[object]:
    for _, value, _ in children(node):
        yield value
        yield from _values(value)
