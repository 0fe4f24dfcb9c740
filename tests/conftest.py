"""Fixtures that many tests share: one Ray cluster, the folder of real data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.postgres import postgres_server, postgres_url
from tests.services import s3, s3_front, s3_server
from tests.workers import Workers

__all__ = ["postgres_server", "postgres_url", "s3", "s3_front", "s3_server"]

# Before anything imports ray, torch or transformers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Threads that wait for each other over small tensors burn more time than the work takes.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test is timed: the machine may be busy with something else.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings and dialogues beside the checkout; a test that wants them skips without."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """One real local cluster for all tests, with more logical processors than the machine has. Its
    processes have what the service wants of them."""
    import ray

    from persona_ray.serving.deploy.proxy import ENVIRONMENT

    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    context = ray.init(
        num_cpus=8, include_dashboard=False, log_to_driver=False, logging_level="warning"
    )
    try:
        yield str(context.address_info["gcs_address"])
    finally:
        ray.shutdown()


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    """Two workers of one group and one by itself, for all tests that need them."""
    found = Workers(tmp_path_factory.mktemp("workers"))
    yield found
    found.close()
