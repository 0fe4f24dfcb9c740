"""Joining and starting clusters."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from persona_ray.config.learning import LaunchConfig
from persona_ray.launch.cluster import connect

PROGRAM = """
import sys
from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import ConfigError
from persona_ray.launch.cluster import connect
import ray

try:
    with connect(LaunchConfig(address=sys.argv[1])):
        print("cluster", ray.get_runtime_context().gcs_address)
    print("still connected" if ray.is_initialized() else "left")
except ConfigError as error:
    print("refused:", error)
"""


def outside(address: str, **environment: str) -> str:
    """What a process of its own says that connects to `address`."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, address],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.cluster
def test_a_connected_process_stays_connected(ray_cluster: str) -> None:
    import ray

    with connect(LaunchConfig()), connect(LaunchConfig(address="127.0.0.1:1")):
        assert ray.get_runtime_context().gcs_address == ray_cluster
    assert ray.is_initialized()


@pytest.mark.cluster
def test_a_running_cluster_is_joined_and_left(ray_cluster: str) -> None:
    assert outside(ray_cluster) == f"cluster {ray_cluster}\nleft\n"
    # As inside `ray job submit`.
    assert outside("", RAY_ADDRESS=ray_cluster) == f"cluster {ray_cluster}\nleft\n"


def test_an_address_without_a_cluster_is_refused_in_one_line() -> None:
    said = outside("127.0.0.1:1")
    assert said.startswith("refused: no Ray cluster answers at '127.0.0.1:1'")
    assert said.count("\n") == 1
