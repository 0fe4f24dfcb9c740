"""Where finished calls wait for their shards: one file per call, there or not there, never half.

What a file holds is the business of who stages: a table whose metadata name the call. It is
committed by a rename, so that a kill at any moment loses at most the calls in flight.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

import pyarrow as pa
import pyarrow.parquet as pq

from persona_ray.corpus.sealing import reads, writes
from persona_ray.errors import CorpusError
from persona_ray.files import write_whole

_SUFFIX = ".parquet"
_LONGEST_NAME = 150


class Staging:
    """Finished calls in `folder`, spread over 256 subfolders by a hash of the call id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, call_id: str) -> Path:
        """`<hash>/<call id, percent-encoded>~<hash>.parquet`: safe, and different for each id.

        The hash tells ids apart that differ by case alone or are longer than a file name may be.
        """
        digest = hashlib.sha256(call_id.encode()).hexdigest()
        name = quote(call_id, safe="")[:_LONGEST_NAME]
        # A leading dot would hide the file.
        return self.folder / digest[:2] / f"c-{name}~{digest[:12]}{_SUFFIX}"

    def has(self, call_id: str) -> bool:
        return self.path(call_id).exists()

    def commit(self, table: pa.Table) -> None:
        """Write what became of one call. Afterwards `has` is true, in this process and others."""
        path = self.path(call_id_of(table.schema))
        path.parent.mkdir(exist_ok=True)
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="snappy", **writes(self.folder.parents[1]))
        write_whole(path, buffer.getvalue().to_pybytes())

    def count(self) -> int:
        return sum(1 for _ in self.files())

    def tables(self) -> Iterator[pa.Table]:
        """Every finished call in the order of call ids (code points), one at a time.

        The names are sorted on disk, not in memory. CorpusError names a file that is damaged.
        """
        index = self.folder / "order.sqlite"
        index.unlink(missing_ok=True)
        connection = sqlite3.connect(index)
        try:
            # It is made anew each time, so that nothing need survive a crash.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("CREATE TABLE calls (id TEXT NOT NULL, path TEXT NOT NULL)")
            connection.executemany(
                "INSERT INTO calls VALUES (?, ?)",
                ((_call_id(path), str(path)) for path in self.files()),
            )
            for (path,) in connection.execute("SELECT path FROM calls ORDER BY id"):
                yield _read(Path(path))
        finally:
            connection.close()
            index.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete everything; what is gone already is no error."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.parent.rmdir()

    def files(self) -> Iterator[Path]:
        """Of finished calls, in no order."""
        if not self.folder.is_dir():
            return
        for bucket in sorted(self.folder.iterdir()):
            if bucket.is_dir():
                with os.scandir(bucket) as entries:
                    for entry in entries:
                        if entry.name.endswith(_SUFFIX):
                            yield Path(entry.path)


def _call_id(path: Path) -> str:
    """The call id from the file's name, or from inside the file where the name is cut short."""
    name, _, digest = path.name.removeprefix("c-").removesuffix(_SUFFIX).rpartition("~")
    call_id = unquote(name, errors="replace")
    if hashlib.sha256(call_id.encode()).hexdigest().startswith(digest):
        return call_id
    return call_id_of(_read(path).schema)


def call_id_of(schema: pa.Schema) -> str:
    """The call that a staged table is about; KeyError where it does not say."""
    call_id: bytes = schema.metadata[b"call_id"]
    return call_id.decode()


def _read(path: Path) -> pa.Table:
    try:
        # Of a corpus, or of what else is staged in the same way: in <folder>/staging/<which>/<xx>.
        return pq.read_table(path, memory_map=False, **reads(path.parents[3]))
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise CorpusError(
            f"staged call {path} is damaged ({reason}): delete the file and build again"
        ) from None
