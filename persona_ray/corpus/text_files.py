"""Dialogues from plain files: a sentence a line, or JSON.

`.txt`: a turn a line, a blank line between dialogues. `.jsonl`: a dialogue a line. `.json`: one
dialogue, or a list of them, or an object with such a list under `dialogues` or `data`; the whole
file is held in memory, so large ones belong into `.jsonl`. Each also `.gz`, all of them UTF-8.
"""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from persona_ray.corpus.dialogue_shapes import (
    Turns,
    UnusableError,
    dialogue_of,
    one_line,
    separate,
)
from persona_ray.errors import CorpusError

SUFFIXES = (".txt", ".jsonl", ".json")
# A file with more broken lines than this share is another kind of file.
TOLERATED_SHARE = 0.01
# So many are seen before a file is given up half-way.
_ENOUGH = 100


class BrokenLines:
    """Lines (in `.json`: dialogues) that were left out, counted by reason."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}
        self.first: dict[str, str] = {}

    def add(self, reason: str, where: str) -> None:
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        self.first.setdefault(reason, where)


def find_files(patterns: Sequence[str]) -> list[Path]:
    """Files of all patterns, each once, in the order of the patterns and then of their names.

    Raises CorpusError for a pattern without a file and for a file of another kind.
    """
    found: dict[Path, Path] = {}
    for pattern in patterns:
        expanded = str(Path(pattern).expanduser())
        names = sorted(glob.glob(expanded, recursive=True))  # noqa: PTH207 (absolute patterns too)
        files = [Path(name) for name in names if Path(name).is_file()]
        if not files:
            raise CorpusError(
                f"pretraining.text.files '{pattern}': there is no such file (looked from "
                f"{Path.cwd()}); a folder's files are named by a pattern: folder/*.txt"
            )
        for file in files:
            _suffix(file)
            found.setdefault(file.resolve(), file)
    return list(found.values())


def read_file(path: Path, broken: BrokenLines) -> Iterator[Turns]:
    """Dialogues of one file, one at a time; single broken lines go to `broken`.

    Raises CorpusError, naming file and line, for a file that cannot be opened or decompressed, is
    not UTF-8 or not JSON, or has more than one broken line in a hundred.
    """
    readers = {".txt": _read_txt, ".jsonl": _read_jsonl, ".json": _read_json}
    yield from readers[_suffix(path)](path, broken)


def _suffix(path: Path) -> str:
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    if plain.suffix not in SUFFIXES:
        raise CorpusError(
            f"{path} is of no kind that is read: {', '.join(SUFFIXES)}, each also with .gz"
        )
    return plain.suffix


class _Tolerance:
    """Counts lines of one file and gives it up where too many are broken."""

    def __init__(self, path: Path, broken: BrokenLines, unit: str) -> None:
        self._path, self._broken, self._unit = path, broken, unit
        self._seen = self._bad = 0
        self._first = ""

    def good(self) -> None:
        self._seen += 1

    def bad(self, number: int, reason: str) -> None:
        self._seen += 1
        self._bad += 1
        self._first = self._first or f"{self._unit} {number}: {reason}"
        self._broken.add(reason, f"{self._path}, {self._unit} {number}")
        if self._bad >= _ENOUGH:
            self.check()

    def check(self) -> None:
        if self._bad > TOLERATED_SHARE * self._seen:
            raise CorpusError(
                f"{self._path}, {self._first} ({self._bad} of {self._seen} {self._unit}s cannot "
                f"be used; up to {TOLERATED_SHARE:.0%} would be left out): mend the file, or take "
                "it out of pretraining.text.files"
            )


def _read_txt(path: Path, broken: BrokenLines) -> Iterator[Turns]:
    tolerance = _Tolerance(path, broken, "line")
    turns: list[str] = []
    for number, line in _lines(path):
        try:
            turn = one_line(_decode(line))
        except UnusableError as error:
            tolerance.bad(number, str(error))
            continue
        tolerance.good()
        if turn:
            turns.append(turn)
        elif turns:
            yield tuple(turns)
            turns = []
    if turns:
        yield tuple(turns)
    tolerance.check()


def _read_jsonl(path: Path, broken: BrokenLines) -> Iterator[Turns]:
    tolerance = _Tolerance(path, broken, "line")
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            dialogue = dialogue_of(_parse(_decode(line)))
        except UnusableError as error:
            tolerance.bad(number, str(error))
            continue
        tolerance.good()
        yield dialogue
    tolerance.check()


def _read_json(path: Path, broken: BrokenLines) -> Iterator[Turns]:
    with _opened(path) as file:
        data = file.read()
    try:
        tree = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CorpusError(f"{path}, line {line}: {_not_utf8(data)}") from None
    except json.JSONDecodeError as error:
        raise CorpusError(f"{path}, line {error.lineno}: not JSON ({error.msg})") from None
    except ValueError:
        raise CorpusError(f"{path}: a number in it is too long") from None
    except RecursionError:
        raise CorpusError(f"{path}: nested too deeply") from None
    del data
    tolerance = _Tolerance(path, broken, "dialogue")
    for number, node in enumerate(separate(tree), 1):
        try:
            dialogue = dialogue_of(node)
        except UnusableError as error:
            tolerance.bad(number, str(error))
            continue
        tolerance.good()
        yield dialogue
    tolerance.check()


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UnusableError(f"not JSON ({error.msg})") from None
    except ValueError:
        raise UnusableError("a number is too long") from None
    except RecursionError:
        raise UnusableError("nested too deeply") from None


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise UnusableError(_not_utf8(line)) from None


def _not_utf8(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "not UTF-8 but UTF-16: convert it (iconv -f UTF-16 -t UTF-8)"
    return "not UTF-8: convert it (Chinese files are often GB18030: iconv -f GB18030 -t UTF-8)"


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Lines from 1, without the mark that some editors put before the first."""
    with _opened(path) as file:
        for number, line in enumerate(file, 1):
            yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with cast(BinaryIO, opener(path, "rb")) as file:
            yield file
    except gzip.BadGzipFile:
        raise CorpusError(f"{path} is not compressed with gzip, though its name ends so") from None
    except (EOFError, zlib.error):
        raise CorpusError(
            f"{path} is damaged: its compressed data ends early or is wrong"
        ) from None
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror or error}") from None
