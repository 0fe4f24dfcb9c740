"""The doctor on a real cluster: its nodes, the folder that they share, a real all-reduce."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.config import load_config
from persona_ray.launch.doctor.examine import ON_CLUSTER, examine
from persona_ray.launch.doctor.finding import Outcome

pytestmark = pytest.mark.usefixtures("ray_cluster")


def test_a_cluster_is_looked_at_and_left_as_it_was(tmp_path: Path) -> None:
    import ray

    config = load_config(None, [f"workspace={tmp_path}"])
    found = {one.check: one for one in examine(config, ["ray", *ON_CLUSTER], limit_s=30)}
    well = ("ray", "nodes", "object-store", "shared-workspace", "clock", "collectives")
    assert {found[name].outcome for name in well} == {Outcome.OK}, found
    assert "2 workers on 1 node(s) by Gloo" in found["collectives"].said
    assert found["cluster-gpus"].outcome is not Outcome.FAILED
    assert found["token-refused"].outcome is not Outcome.FAILED
    assert list(tmp_path.iterdir()) == []
    assert ray.is_initialized()
