"""Files by their SHA-256 in a folder or bucket, and named documents that refer to them.

    PLACE/objects/1f/1f3a9c...      a file, there whole or not at all
    PLACE/documents/NAME.json       written after all that it refers to

The same content is kept once, whoever refers to it, and sent once: what broke off goes on where it
was. A file is read back only where its bytes are still those of its name.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from persona_ray.errors import ConfigError, StorageError
from persona_ray.files import draft, sha256_file
from persona_ray.remote import Fault, fault_of, filesystem, one_line

_OBJECTS, _DOCUMENTS = "objects", "documents"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")
_DIGEST = re.compile(r"^[0-9a-f]{64}$")
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file's content by which it is found, and its size."""

    sha256: str
    size_bytes: int


class ObjectStore:
    """One place of files and documents."""

    def __init__(self, files: Any, root: str, uri: str) -> None:
        self._files = files
        self._root = root.rstrip("/")
        self.uri = uri

    @classmethod
    def open(cls, uri: str) -> Self:
        """At a folder or an fsspec URI such as s3://bucket/folder; nothing is made yet. Raises
        StorageError for a URI that nobody here can open, and for a storage that does not answer
        where its back end connects at once."""
        try:
            files, root = filesystem(uri)
        except ConfigError as error:
            raise StorageError(str(error)) from None
        except Exception as error:
            away = fault_of(error, uri) is Fault.AWAY
            message = f"{uri} cannot be opened: {one_line(error)}"
            raise StorageError(message, transient=away) from None
        return cls(files, root, uri)

    def put(self, path: Path) -> StoredFile:
        """Keep a file; one that is kept already is not sent again. Raises StorageError for one that
        is replaced meanwhile."""
        before = path.stat()
        found = StoredFile(sha256_file(path), before.st_size)
        if not self.has(found):
            self._send(self._object(found.sha256), path)
            after = path.stat()
            if (after.st_ino, after.st_mtime_ns) != (before.st_ino, before.st_mtime_ns):
                # What was sent may be the other one, under this one's name.
                self.discard([found.sha256])
                raise StorageError(f"{path} was changed while it was copied", transient=True)
        return found

    def has(self, wanted: StoredFile) -> bool:
        """Whether it is there in its full length."""
        with self._failures_named():
            try:
                size = self._files.info(self._object(wanted.sha256))["size"]
            except FileNotFoundError:
                return False
        return bool(size == wanted.size_bytes)

    def get(self, wanted: StoredFile, path: Path) -> None:
        """Write it to `path`, whose folder must be there. Raises StorageError where it is missing
        or damaged."""
        with draft(path) as beside, beside.open("wb") as target:
            self._read_through(wanted, target.write)

    def check(self, wanted: StoredFile) -> None:
        """Read it through. Raises StorageError where it is missing or damaged."""
        self._read_through(wanted, len)

    def documents(self) -> list[str]:
        """Their names, sorted; none where nothing is there yet."""
        with self._failures_named():
            try:
                found = self._files.ls(f"{self._root}/{_DOCUMENTS}", detail=False)
            except FileNotFoundError as error:
                if fault_of(error, self.uri) is Fault.REFUSED:
                    raise StorageError(f"{self.uri}: the bucket is not there") from None
                return []
        names = (name.rstrip("/").rpartition("/")[2] for name in found)
        return sorted(name[: -len(".json")] for name in names if name.endswith(".json"))

    def read(self, name: str) -> bytes:
        """A document. Raises StorageError where there is none."""
        with self._failures_named(), self._open(self._document(name)) as source:
            return bytes(source.read())

    def write(self, name: str, content: bytes) -> None:
        """A document, whole or not at all, in the place of one of its name."""
        self._send(self._document(name), content)

    def remove(self, name: str) -> None:
        """A document; what it referred to stays until `prune`."""
        with self._failures_named():
            self._files.rm_file(self._document(name))

    def prune(self, keep: Collection[str]) -> int:
        """Remove every file whose SHA-256 is not in `keep`; how many were."""
        removed = 0
        with self._failures_named():
            try:
                there = self._files.find(f"{self._root}/{_OBJECTS}")
            except FileNotFoundError:
                return 0
            for place in there:
                if place.rpartition("/")[2] not in keep:
                    self._files.rm_file(place)
                    removed += 1
        return removed

    def discard(self, digests: Collection[str]) -> None:
        """Remove files by their SHA-256; what is gone already is no error."""
        for sha256 in digests:
            with self._failures_named(), suppress(FileNotFoundError):
                self._files.rm_file(self._object(sha256))

    def _send(self, place: str, content: bytes | Path) -> None:
        """There whole or not at all, as object stores do by themselves."""
        with self._failures_named():
            if self._local:
                Path(place).parent.mkdir(parents=True, exist_ok=True)
                with draft(Path(place)) as beside:
                    if isinstance(content, bytes):
                        beside.write_bytes(content)
                    else:
                        shutil.copyfile(content, beside)
            elif isinstance(content, bytes):
                self._files.pipe_file(place, content)
            else:
                self._files.put_file(str(content), place)

    def _read_through(self, wanted: StoredFile, take: Callable[[bytes], object]) -> None:
        """Hand over every block. Raises StorageError where they are not of that content; what
        `take` raises passes."""
        digest, place = hashlib.sha256(), self._object(wanted.sha256)
        with closing(self._blocks(place)) as blocks:
            for block in blocks:
                digest.update(block)
                take(block)
        if digest.hexdigest() != wanted.sha256:
            raise StorageError(f"{self.uri}: {place} is damaged: its content was changed")

    def _blocks(self, place: str) -> Generator[bytes]:
        with self._failures_named(), self._open(place) as source:
            while block := source.read(_BLOCK):
                yield block

    @property
    def _local(self) -> bool:
        protocol = self._files.protocol
        names = (protocol,) if isinstance(protocol, str) else protocol
        return "file" in names

    def _object(self, sha256: str) -> str:
        if not _DIGEST.match(sha256):
            raise StorageError(f"{self.uri}: '{sha256[:80]}' is no SHA-256 of a file")
        return f"{self._root}/{_OBJECTS}/{sha256[:2]}/{sha256}"

    def _document(self, name: str) -> str:
        if not _NAME.match(name):
            raise StorageError(f"'{name}' is no name of a document: letters, digits, . _ -")
        return f"{self._root}/{_DOCUMENTS}/{name}.json"

    def _open(self, place: str) -> Any:
        try:
            return self._files.open(place, "rb")
        except FileNotFoundError:
            raise StorageError(f"{self.uri}: {place} is missing") from None

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        """Back ends raise whatever their network library raises: one line of it; ours pass."""
        try:
            yield
        except StorageError:
            raise
        except Exception as error:
            away = fault_of(error, self.uri) is Fault.AWAY
            raise StorageError(f"{self.uri}: {one_line(error)}", transient=away) from None
