"""From a laptop to a cluster by a backup: SQLite and a file of MLflow, over S3, into PostgreSQL and
an MLflow server whose bundles are in S3; and back again."""

from __future__ import annotations

from pathlib import Path

import pytest

from persona_ray.errors import StorageError
from persona_ray.launch.backup.making import create, verify
from persona_ray.launch.backup.restoring import restore
from persona_ray.launch.versions.promotion import register
from persona_ray.launch.versions.records import Alias
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.models.manifest import digest
from persona_ray.progress import SilentProgress
from persona_ray.store import open_store
from tests.postgres import PASSWORD, postgres
from tests.services import S3, mlflow_server
from tests.unit.launch.registered import CLIPS, CUSTOMERS, make_bundle, workspace

pytestmark = pytest.mark.drill
QUIET = SilentProgress()


def test_there_and_back(tmp_path: Path, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "laptop").mkdir()
    laptop = workspace(tmp_path / "laptop")
    for seed in range(2):
        register(laptop, make_bundle(laptop, f"bundle-{seed}", seed))
    Registry.open(laptop).point(Alias.CHAMPION, Registry.open(laptop).find("2"))
    champion = digest(resolve_bundle(laptop, "models:/persona@champion"))
    place = f"{s3.uri}/backups"
    create(laptop, place, QUIET)
    monkeypatch.setenv("DB_PASSWORD", PASSWORD)
    with (
        postgres() as server,
        mlflow_server(
            server.url.format(database="template1"), f"{s3.uri}/mlflow", tmp_path / "log"
        ) as tracking,
    ):
        database = server.url.format(database="postgres").split("@")[1]
        (tmp_path / "cluster").mkdir()
        cluster = laptop.model_copy(
            update={
                "workspace": tmp_path / "cluster",
                "store": laptop.store.model_copy(
                    update={"url": f"postgresql://tester:${{DB_PASSWORD}}@{database}"}
                ),
                "tracking": laptop.tracking.model_copy(update={"url": tracking}),
            }
        )
        # Storage that fails for a moment is asked again; one that goes on failing is told.
        with s3.front.failing(status=403), pytest.raises(StorageError):
            restore(cluster, place, QUIET)
        restore(cluster, place, QUIET)
        with open_store(cluster.store_url) as store:
            assert store.annotations.count() == CUSTOMERS * CLIPS
            store.keys.create("desk", ["recognise"], None, None)
        assert digest(resolve_bundle(cluster, "models:/persona@champion")) == champion
        backup = create(cluster, place, QUIET)
        assert verify(place, QUIET) == backup
        (tmp_path / "again").mkdir()
        again = laptop.model_copy(update={"workspace": tmp_path / "again"})
        restore(again, place, QUIET)
    with open_store(again.store_url) as store:
        assert [key.name for key in store.keys.all()] == ["desk"]
    assert digest(resolve_bundle(again, "models:/persona@champion")) == champion
