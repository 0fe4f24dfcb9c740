"""Files by their content, in a folder and in a bucket."""

from __future__ import annotations

import resource
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from persona_ray.errors import StorageError
from persona_ray.files import write_whole
from persona_ray.launch.storage.object_store import ObjectStore, StoredFile
from persona_ray.remote import Fault, fault_of


@pytest.fixture(params=["folder", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "folder":
        yield str(tmp_path / "store")
        return
    name = f"memory://{uuid.uuid4().hex}"
    yield name
    import fsspec

    files, root = fsspec.core.url_to_fs(name)
    if files.exists(root):
        files.rm(root, recursive=True)


def test_what_is_kept_comes_back(place: str, tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"voice" * 1000)
    store = ObjectStore.open(place)
    assert store.documents() == []
    kept = store.put(file)
    assert store.put(file) == kept
    store.write("one", b"{}")
    store.get(kept, tmp_path / "b.bin")
    assert (tmp_path / "b.bin").read_bytes() == file.read_bytes()
    assert (store.documents(), store.read("one")) == (["one"], b"{}")
    store.check(kept)


def test_what_nothing_refers_to_is_removed(place: str, tmp_path: Path) -> None:
    store = ObjectStore.open(place)
    kept = []
    for content in (b"one", b"two", b"three"):
        (tmp_path / "x").write_bytes(content)
        kept.append(store.put(tmp_path / "x"))
    assert store.prune({kept[1].sha256}) == 2
    assert [store.has(one) for one in kept] == [False, True, False]


def test_damage_and_absence_are_told(place: str, tmp_path: Path) -> None:
    store = ObjectStore.open(place)
    (tmp_path / "x").write_bytes(b"whole")
    kept = store.put(tmp_path / "x")
    with pytest.raises(StorageError, match="missing"):
        store.get(StoredFile("0" * 64, 5), tmp_path / "y")
    with pytest.raises(StorageError, match="missing"):
        store.read("none")
    import fsspec

    files, root = fsspec.core.url_to_fs(place)
    files.pipe_file(f"{root}/objects/{kept.sha256[:2]}/{kept.sha256}", b"other")
    with pytest.raises(StorageError, match="damaged"):
        store.get(kept, tmp_path / "y")
    with pytest.raises(StorageError, match="damaged"):
        store.check(kept)
    assert not (tmp_path / "y").exists()


def test_a_full_disk_here_is_not_the_storage_s_fault(place: str, tmp_path: Path) -> None:
    store = ObjectStore.open(place)
    (tmp_path / "x").write_bytes(b"voice" * 1000)
    kept = store.put(tmp_path / "x")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            store.get(kept, tmp_path / "y")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "y").exists()


def test_names_lead_nowhere_else(place: str) -> None:
    store = ObjectStore.open(place)
    for name in ("../x", "a/b", "", ".hidden"):
        with pytest.raises(StorageError, match="no name"):
            store.write(name, b"")
    with pytest.raises(StorageError, match="no SHA-256"):
        store.has(StoredFile("../../etc/passwd", 1))


def test_an_address_that_nobody_can_open_is_told() -> None:
    with pytest.raises(StorageError, match="nosuch"):
        ObjectStore.open("nosuch://bucket/x")


def test_a_storage_that_is_asked_while_it_is_opened_and_does_not_answer_is_away() -> None:
    """Ftp connects at once: its error is one of the storage, not of the program."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound, and listens to nobody.
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match="Connection refused") as told:
            ObjectStore.open(f"ftp://127.0.0.1:{port}/backups")
    assert told.value.transient


def test_a_storage_that_goes_while_its_bucket_is_asked_for_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Gone:
        def exists(self, _: str) -> bool:
            raise ConnectionError("connection reset")

    monkeypatch.setattr("persona_ray.remote.filesystem", lambda _: (Gone(), ""))
    assert fault_of(FileNotFoundError("key"), "s3://bucket/key") is Fault.AWAY


def test_a_file_that_is_replaced_meanwhile_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore.open(str(tmp_path / "store"))
    path = tmp_path / "report.html"
    path.write_text("one report")
    send = ObjectStore._send

    def replaced(self: ObjectStore, place: str, file: bytes | Path) -> None:
        write_whole(path, "another one")
        send(self, place, file)

    monkeypatch.setattr(ObjectStore, "_send", replaced)
    with pytest.raises(StorageError, match="was changed while it was copied"):
        store.put(path)
    monkeypatch.undo()
    kept = store.put(path)
    store.check(kept)
    assert store.prune([kept.sha256]) == 0
