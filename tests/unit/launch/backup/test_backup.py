"""The store and the registry, copied and brought back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from persona_ray.apps.privacy.forgetting import forget
from persona_ray.apps.privacy.plan import Person
from persona_ray.cli.app import app
from persona_ray.config import RunConfig, write_config
from persona_ray.errors import AuditError, BackupError, RegistryError, StorageError, StoreError
from persona_ray.launch.backup.making import Part, create, prune, verify
from persona_ray.launch.backup.record import names, read
from persona_ray.launch.backup.restoring import restore
from persona_ray.launch.storage.object_store import ObjectStore
from persona_ray.launch.versions.promotion import register
from persona_ray.launch.versions.records import Action, Alias, Change
from persona_ray.launch.versions.registry import Registry
from persona_ray.progress import SilentProgress
from persona_ray.store import Annotation, open_store
from persona_ray.store.open import open_audited
from persona_ray.store.tables import AnnotationRow
from tests.unit.launch.registered import CLIPS, CUSTOMERS, make_bundle, workspace

QUIET = SilentProgress()
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = NOW + timedelta(days=1)


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """Versions 1 and 3 of one model (2 was deleted), one of them champion, with a history."""
    config = workspace(tmp_path_factory.mktemp("laptop"))
    for seed in range(3):
        register(config, make_bundle(config, f"bundle-{seed}", seed))
    registry = Registry.open(config)
    third = registry.find("3")
    registry.record(Change(Action.PROMOTE, 1, 3, NOW))
    registry.point(Alias.CHAMPION, third)
    registry.keep(third, {}, {"test.accuracy": 0.75})
    registry._client.delete_model_version(registry.model, "2")
    return config


@pytest.fixture(scope="module")
def kept(laptop: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where its backup lies."""
    place = tmp_path_factory.mktemp("backups")
    create(laptop, str(place), QUIET, now=lambda: NOW)
    return place


def elsewhere(laptop: RunConfig, folder: Path) -> RunConfig:
    return laptop.model_copy(update={"workspace": folder})


def test_store_and_registry_come_back_elsewhere(
    laptop: RunConfig, kept: Path, tmp_path: Path
) -> None:
    config = elsewhere(laptop, tmp_path / "cluster")
    config.workspace.mkdir()
    restore(config, str(kept), QUIET)
    with open_store(config.store_url) as store:
        assert store.annotations.count() == CUSTOMERS * CLIPS
    before, after = Registry.open(laptop), Registry.open(config)
    told = [(v.number, v.aliases, v.digest, v.tags) for v in after.versions()]
    assert told == [(v.number, v.aliases, v.digest, v.tags) for v in before.versions()]
    assert [number for number, *_ in told] == [3, 1]
    assert after.history() == before.history()
    folder = after.fetch(after.find("champion"))
    assert config.workspace in folder.parents
    run = after._client.get_run(after.find("3").run_id)
    assert run.data.metrics["test.accuracy"] == 0.75
    # The next version is counted on.
    assert register(config, make_bundle(laptop, "bundle-next", 9)).number == 4
    # And asked again, nothing is given up unasked.
    with pytest.raises(RegistryError, match="that the backup has not"):
        restore(config, str(kept), QUIET, parts=(Part.REGISTRY,))


def test_a_restore_that_broke_off_goes_on(
    laptop: RunConfig, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = elsewhere(laptop, tmp_path / "cluster")
    config.workspace.mkdir()
    whole = Registry.open(config)._client.__class__.create_model_version
    made: list[str] = []

    def breaks(self: object, *arguments: object, **named: object) -> object:
        made.append("")
        if len(made) == 2:
            raise OSError("the line is cut")
        return whole(self, *arguments, **named)

    monkeypatch.setattr(f"{whole.__module__}.MlflowClient.create_model_version", breaks)
    with pytest.raises(Exception, match="the line is cut"):
        restore(config, str(kept), QUIET)
    assert Registry.open(config).holder(Alias.CHAMPION) is None
    # The store is last: with its rows those come back who were forgotten, and nobody would look.
    with open_store(config.store_url) as store:
        assert store.annotations.count() == 0
    restore(config, str(kept), QUIET)
    assert [version.number for version in Registry.open(config).versions()] == [3, 1]
    with open_store(config.store_url) as store:
        assert store.annotations.count() == CUSTOMERS * CLIPS


def test_what_is_there_is_not_given_up_unasked(
    laptop: RunConfig, kept: Path, tmp_path: Path
) -> None:
    config = elsewhere(laptop, tmp_path / "cluster")
    config.workspace.mkdir()
    restore(config, str(kept), QUIET, parts=(Part.STORE,))
    with pytest.raises(StoreError, match="--replace"):
        restore(config, str(kept), QUIET)
    assert not Registry.open(config).versions()
    restore(config, str(kept), QUIET, parts=(Part.STORE,), replace=True)


def test_what_broke_off_is_no_backup(
    laptop: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("no space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(ObjectStore, "write", full)
        with pytest.raises(StorageError, match="no space"):
            create(laptop, str(tmp_path / "b"), QUIET, (Part.STORE,))
    assert names(ObjectStore.open(str(tmp_path / "b"))) == []
    with pytest.raises(BackupError, match="holds no backup"):
        verify(str(tmp_path / "b"), QUIET)


def test_a_half_that_the_backup_has_not_is_told(laptop: RunConfig, tmp_path: Path) -> None:
    place, config = str(tmp_path / "b"), elsewhere(laptop, tmp_path / "c")
    for only, other, at in ((Part.STORE, Part.REGISTRY, NOW), (Part.REGISTRY, Part.STORE, LATER)):
        create(laptop, place, QUIET, (only,), now=_at(at))
        with pytest.raises(BackupError, match=f"has no {other}.*--only {only}"):
            restore(config, place, QUIET, parts=(other,))
    with pytest.raises(BackupError, match="has no store"):
        restore(config, place, QUIET)


def test_damage_is_found_before_anything_is_brought_back(laptop: RunConfig, tmp_path: Path) -> None:
    place = tmp_path / "b"
    backup = create(laptop, str(place), QUIET, (Part.STORE,))
    file = backup.files["store/annotations.jsonl.gz"]
    path = place / "objects" / file.sha256[:2] / file.sha256
    path.write_bytes(b"x" + path.read_bytes()[1:])
    for attempt in (
        lambda: verify(str(place), QUIET),
        lambda: restore(elsewhere(laptop, tmp_path / "c"), str(place), QUIET, parts=(Part.STORE,)),
    ):
        with pytest.raises(StorageError, match="damaged"):
            attempt()
    assert not (tmp_path / "c").exists()


def test_nothing_is_given_up_for_a_damaged_backup(
    laptop: RunConfig, kept: Path, tmp_path: Path
) -> None:
    config = elsewhere(laptop, tmp_path / "cluster")
    config.workspace.mkdir()
    restore(config, str(kept), QUIET, parts=(Part.REGISTRY,))
    place = tmp_path / "b"
    shutil.copytree(kept, place)
    files = read(ObjectStore.open(str(place))).files
    file = next(file for path, file in files.items() if path.startswith("registry/"))
    (place / "objects" / file.sha256[:2] / file.sha256).write_bytes(b"x")
    with pytest.raises(StorageError):
        restore(config, str(place), QUIET, replace=True)
    assert [version.number for version in Registry.open(config).versions()] == [3, 1]


def test_old_backups_go_with_what_only_they_hold(laptop: RunConfig, tmp_path: Path) -> None:
    place = str(tmp_path / "b")
    times = [NOW + timedelta(days=day) for day in range(3)]
    config = elsewhere(laptop, tmp_path / "w")
    for number, at in enumerate(times):
        with open_store(config.store_url) as store:
            store.keys.create(f"key-{number}", ["recognise"], None, None)
        create(config, place, QUIET, (Part.STORE,), now=_at(at))
    gone, files = prune(place, keep=1)
    assert (len(gone), names(ObjectStore.open(place))) == (2, ["backup-20260306T050607Z"])
    assert files == 2  # one table of keys of each; all other tables are the same
    verify(place, QUIET)
    ObjectStore.open(place).write("corpus", b"{}")
    with pytest.raises(BackupError, match="corpus, which is no backup"):
        prune(place, keep=1)


def _at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def test_who_was_forgotten_does_not_come_back_and_the_log_tells_of_the_return(
    laptop: RunConfig, tmp_path: Path
) -> None:
    config = elsewhere(laptop, tmp_path / "w")
    with open_audited(config) as store:
        for customer, clip in (("C1", "a"), ("C2", "b")):
            store.annotations.save([Annotation(annotator="wang", label="red", clip_id=clip)])
            with store.write() as session:
                session.execute(
                    update(AnnotationRow)
                    .where(AnnotationRow.clip_id == clip)
                    .values(customer_id=customer)
                )
        store.audit.note("wang", "keys.create")
    place = tmp_path / "b"
    create(config, str(place), QUIET, (Part.STORE,))
    forget(config, Person(customer="C1"), "wang", QUIET)
    path = tmp_path / "config.yaml"
    write_config(config, path)
    answer = CliRunner().invoke(
        app, ["backup", "restore", str(place), "--replace", "--config", str(path)]
    )
    assert answer.exit_code == 0, answer.output
    assert "forgotten again: 1 persons" in answer.output
    with open_audited(config) as store:
        assert [item.customer_id for item in store.annotations.all()] == ["C2"]
        store.audit.verify()
        actions = [entry.action for entry in store.audit.entries()]
    assert actions[:2] == ["keys.create", "audit.rewind"]
    assert "forget" in actions


def test_a_log_that_was_signed_by_keys_that_are_elsewhere_is_told(
    laptop: RunConfig, tmp_path: Path
) -> None:
    config, place = elsewhere(laptop, tmp_path / "here"), str(tmp_path / "b")
    with open_audited(config) as store:
        store.audit.note("wang", "keys.create")
    create(config, place, QUIET, (Part.STORE,))
    there = elsewhere(laptop, tmp_path / "there")
    path = tmp_path / "config.yaml"
    write_config(there, path)
    arguments = ["backup", "restore", place, "--replace", "--config", str(path)]
    answer = CliRunner().invoke(app, arguments)
    assert answer.exit_code == 0, answer.output
    keys = there.workspace / "keys" / "installation"
    assert f"none of the keys in {keys} has signed" in answer.stderr
    assert "--only store --replace" in answer.stderr
    with open_audited(there) as store, pytest.raises(AuditError, match="keys that signed it are"):
        store.audit.verify()
    # As it says: the keys of where it came from, then once more.
    shutil.rmtree(keys)
    shutil.copytree(config.workspace / "keys" / "installation", keys)
    again = CliRunner().invoke(app, [*arguments, "--only", "store"])
    assert again.exit_code == 0, again.output
    assert "has signed" not in again.stderr
    with open_audited(there) as store:
        assert store.audit.verify().entries == 2


def test_the_commands(laptop: RunConfig, kept: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    write_config(elsewhere(laptop, tmp_path / "cluster"), path)

    def said(*arguments: str) -> str:
        answer = CliRunner().invoke(app, ["backup", *arguments])
        if answer.exception is not None and not isinstance(answer.exception, SystemExit):
            raise answer.exception
        return answer.output

    assert "backup-20260304T050607Z" in said("list", str(kept))
    assert "2 versions" in said("verify", str(kept))
    part = read(ObjectStore.open(str(kept))).store
    assert part is not None
    rows = sum(part.tables.values())
    told = said("restore", str(kept), "--only", "store", "--config", str(path))
    assert f"{rows} rows" in told
    assert "versions" not in told
    assert "removed: 0 backups" in said("prune", str(kept), "--keep", "3")
    assert "holds no backup" in said("list", str(tmp_path / "none"))
