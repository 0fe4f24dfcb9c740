"""Which bundle is served, and what is said where none can be."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from persona_ray.apps.bundles import choose_bundle, find_bundle, may_be_refused
from persona_ray.apps.here import serve_here
from persona_ray.config import RunConfig, load_config
from persona_ray.errors import BundleError, RegistryError, ServiceError
from persona_ray.launch.tracking.place import local_database
from persona_ray.models import manifest
from persona_ray.models.bundle import contract_of, save_bundle
from tests.unit.models.test_bimodal import small_model


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load_config(None, [f"workspace={tmp_path}", "tracking.url=off"])


def bundle(path: Path, seed: int = 0) -> Path:
    model = small_model(seed=seed)
    save_bundle(model, path, contract_of(model, "", {}, {}))
    return path


def test_the_workspaces_bundle_where_nothing_is_registered(config: RunConfig) -> None:
    with pytest.raises(BundleError, match=r"nothing to serve.*persona-ray run"):
        choose_bundle(config)
    folder = bundle(config.bundle_dir)
    choice = choose_bundle(config)
    assert (choice.reference, choice.name) == (str(folder), "persona")
    assert choice.version == choice.digest[:12]
    assert manifest.digest(find_bundle(config, choice)) == manifest.digest(folder)


def test_a_named_bundle_goes_before_the_workspaces(config: RunConfig, tmp_path: Path) -> None:
    bundle(config.bundle_dir)
    other = bundle(tmp_path / "other", seed=1)
    serving = config.serving.model_copy(update={"bundle": str(other)})
    named = config.model_copy(update={"serving": serving})
    assert choose_bundle(named).reference == str(other)
    assert choose_bundle(named).digest == manifest.digest(other)
    with pytest.raises(RegistryError):
        choose_bundle(config, "models:/persona@champion")


def test_what_is_served_outlives_the_next_training(config: RunConfig) -> None:
    bundle(config.bundle_dir)
    choice = choose_bundle(config)
    bundle(config.bundle_dir, seed=1)
    found = find_bundle(config, choice)
    assert manifest.digest(found) == choice.digest
    manifest.verify(found)
    assert choose_bundle(config).digest != choice.digest
    elsewhere = replace(choice, folder="/nowhere")
    with pytest.raises(BundleError, match="another bundle than when the service was started"):
        find_bundle(config, elsewhere)


def test_a_damaged_bundle_is_named_before_anything_starts(config: RunConfig) -> None:
    (bundle(config.bundle_dir) / "head.safetensors").write_bytes(b"half")
    with pytest.raises(BundleError, match=r"head\.safetensors"):
        choose_bundle(config)


@pytest.mark.parametrize("where", ["named", "workspace", "nowhere", "beside a registry"])
def test_what_cannot_be_served_is_refused_before_ray_starts(
    config: RunConfig, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(_: object) -> NoReturn:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("persona_ray.launch.cluster.connect", connect)
    monkeypatch.setattr("persona_ray.serving.deploy.proxy.ENVIRONMENT", {})
    updates: dict[str, object] = {"port": 0}
    if where == "named":
        updates["bundle"] = str(bundle(tmp_path / "other"))
    if where == "beside a registry":
        config = load_config(None, [f"workspace={tmp_path}"])
        local_database(config).touch()
        monkeypatch.setattr("persona_ray.apps.bundles._champion", lambda *_: None)
    if where != "nowhere":
        folder = Path(str(updates.get("bundle", bundle(config.bundle_dir))))
        (folder / "head.safetensors").write_bytes(b"half")
    serving = config.serving.model_copy(update=updates)
    with pytest.raises(BundleError, match=r"nothing to serve|head\.safetensors"):
        serve_here(config.model_copy(update={"serving": serving}), print)


def test_a_champion_is_looked_for_while_ray_starts(tmp_path: Path) -> None:
    config = load_config(None, [f"workspace={tmp_path}"])
    assert may_be_refused(config)
    local_database(config).touch()
    assert may_be_refused(config)
    bundle(config.bundle_dir)
    assert not may_be_refused(config)


def test_a_taken_port_is_named_before_anything_starts(config: RunConfig) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        serving = config.serving.model_copy(update={"port": port})
        with pytest.raises(ServiceError, match=f"127.0.0.1:{port} cannot.*serving.port="):
            serve_here(config.model_copy(update={"serving": serving}), print)
