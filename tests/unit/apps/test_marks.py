"""Bundles that learned of somebody who is forgotten: found, and marked once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from persona_ray.apps.privacy.marks import mark
from persona_ray.launch.versions.promotion import promote, register
from persona_ray.launch.versions.registry import Registry
from persona_ray.models.lineage import Lineage
from persona_ray.progress import SilentProgress
from tests.unit.launch.registered import make_bundle, unsealed, workspace

PERSON = "0123456789abcdef" * 2


def test_who_learned_of_a_forgotten_customer_is_marked_once_and_says_so(tmp_path: Path) -> None:
    config = workspace(tmp_path)
    bundle = make_bundle(config, "bundle")
    unsealed(make_bundle(config, "old"))
    register(config, bundle)
    registry = Registry.open(config)
    heard = Lineage.read(bundle)
    customer = next(iter(heard.customers()))
    clips = len(heard.clips_of(customer))
    for _ in range(2):
        learned = mark(config, customer, PERSON, datetime.now(UTC))
        (registered,) = [one for one in learned if one.marked]
        assert registered.bundle.startswith(f"{config.tracking.model} ")
        assert registered.clips == clips
        # The folder it was registered from, and the copy that the registry keeps.
        copies = [one.bundle for one in learned if one.clips and not one.marked]
        assert "bundle" in copies
        assert len(copies) == 2
        # One that cannot tell whom it heard is told, too.
        (unknown,) = [one for one in learned if not one.clips]
        assert unknown.bundle == "old"
        assert "nobody knows whom it heard" in unknown.unknown
    assert registry.find("1").forgotten == 1
    assert "1 customers who were forgotten since" in str(promote(config, "1", SilentProgress()))
    nobody = mark(config, "customer-x", PERSON, datetime.now(UTC))
    assert [one.bundle for one in nobody] == ["old"]
