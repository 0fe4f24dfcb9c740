"""Files of records with ids, a JSON line each; one whose name ends in .gz is compressed."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

from persona_ray.errors import CorpusError
from persona_ray.files import write_whole


class Identified(Protocol):
    """A record."""

    @property
    def id(self) -> str: ...


RecordT = TypeVar("RecordT", bound=Identified)


def read_records(
    files: Iterable[Path], read: Callable[[str, str], RecordT], what: str
) -> list[RecordT]:
    """Of all files, in order. `read` makes a record of a line and its place, `what` names one.

    Raises CorpusError for a file that cannot be read, an id that stands twice, and files without
    any, and what `read` raises.
    """
    found: dict[str, RecordT] = {}
    places: dict[str, str] = {}
    named = []
    for file in files:
        named.append(str(file))
        for number, line in enumerate(_lines(file, what), 1):
            if not line.strip():
                continue
            place = f"{file}, line {number}"
            record = read(line, place)
            if record.id in places:
                raise CorpusError(
                    f"{place}: id '{record.id}' stands in {places[record.id]} too: ids are of one "
                    f"{what} each"
                )
            places[record.id] = place
            found[record.id] = record
    if not found:
        raise CorpusError(f"no {what} in {', '.join(named) or 'no file'}: name a file with some")
    return list(found.values())


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Whole or not at all; the same lines give the same bytes."""
    content = "".join(f"{line}\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    # The time in its header would make another file of the same lines.
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _lines(file: Path, what: str) -> Iterator[str]:
    try:
        if file.suffix == ".gz":
            with gzip.open(file, "rt", encoding="utf-8") as lines:
                yield from lines
        else:
            with file.open(encoding="utf-8") as lines:
                yield from lines
    except FileNotFoundError:
        raise CorpusError(f"there is no {file}: name a file of {what}s (JSON lines)") from None
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise CorpusError(f"{file} cannot be read as JSON lines: {error}") from None
