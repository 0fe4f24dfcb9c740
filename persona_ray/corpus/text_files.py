"""Dialogues from plain files: a sentence a line, or JSON of the shapes that are about.

`.txt`: a turn a line, a blank line between dialogues. `.jsonl`: a dialogue a line. `.json`: one
dialogue, or a list of them, or an object with such a list under `dialogues` or `data`; the whole
file is held in memory, so large ones belong into `.jsonl`. Each also `.gz`, all of them UTF-8.

A JSON dialogue is a list of turns; an object with that list under `turns`, `dialogue`, `messages`,
...; an object with one list for each side (`caller` and `callee`), the first side speaking first;
or an object with a single text. A turn is a string, or an object with `text`, `content`, ...
"""

from __future__ import annotations

import glob
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from pathlib import Path
from typing import BinaryIO, cast

from persona_ray.asr.text import storable
from persona_ray.errors import CorpusError

# Turns in order, without line breaks; never empty.
Dialogue = tuple[str, ...]

SUFFIXES = (".txt", ".jsonl", ".json")
TURNS = (
    "turns",
    "dialogue",
    "dialog",
    "messages",
    "conversation",
    "conversations",
    "utterances",
    "sentences",
)
SIDES = (("caller", "callee"), ("agent", "customer"), ("left", "right"))
TEXTS = ("text", "content", "utterance", "sentence", "value")
MANY = ("dialogues", "data")
# A file with more broken lines than this share is another kind of file.
TOLERATED_SHARE = 0.01
# So many are seen before a file is given up half-way.
_ENOUGH = 100


class _UnusableError(Exception):
    """A line or dialogue that cannot be read; the reason is its text."""


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


def read_file(path: Path, broken: BrokenLines) -> Iterator[Dialogue]:
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


def _read_txt(path: Path, broken: BrokenLines) -> Iterator[Dialogue]:
    tolerance = _Tolerance(path, broken, "line")
    turns: list[str] = []
    for number, line in _lines(path):
        try:
            turn = _clean(_decode(line))
        except _UnusableError as error:
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


def _read_jsonl(path: Path, broken: BrokenLines) -> Iterator[Dialogue]:
    tolerance = _Tolerance(path, broken, "line")
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            dialogue = _dialogue(_parse(_decode(line)))
        except _UnusableError as error:
            tolerance.bad(number, str(error))
            continue
        tolerance.good()
        yield dialogue
    tolerance.check()


def _read_json(path: Path, broken: BrokenLines) -> Iterator[Dialogue]:
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
    for number, node in enumerate(_separate(tree), 1):
        try:
            dialogue = _dialogue(node)
        except _UnusableError as error:
            tolerance.bad(number, str(error))
            continue
        tolerance.good()
        yield dialogue
    tolerance.check()


def _separate(tree: object) -> list[object]:
    """The dialogues of a whole JSON file."""
    if isinstance(tree, dict):
        for key in MANY:
            if isinstance(tree.get(key), list):
                return cast(list[object], tree[key])
        return [tree]
    if isinstance(tree, list) and not all(_is_turn(node) for node in tree):
        return tree
    return [tree]


def _is_turn(node: object) -> bool:
    if not isinstance(node, dict):
        return isinstance(node, str)
    return any(key in node for key in TEXTS) and not any(key in node for key in TURNS)


def _dialogue(node: object) -> Dialogue:
    """Raises _UnusableError for other shapes and for dialogues without a word."""
    turns = tuple(turn for turn in map(_clean, _turns(node)) if turn)
    if not turns:
        raise _UnusableError("no text")
    return turns


def _turns(node: object) -> Iterator[str]:
    if isinstance(node, str):
        return iter([node])
    if isinstance(node, list):
        return (text for turn in node if (text := _turn(turn)) is not None)
    if not isinstance(node, dict):
        raise _UnusableError(f"a dialogue cannot be a {_kind(node)}")
    for key in TURNS:
        if isinstance(node.get(key), list):
            return _turns(node[key])
        if isinstance(node.get(key), str):
            return iter(node[key].splitlines())
    for first, second in SIDES:
        if isinstance(node.get(first), list) and isinstance(node.get(second), list):
            pairs = zip_longest(_turns(node[first]), _turns(node[second]), fillvalue="")
            return chain.from_iterable(pairs)
    for key in TEXTS:
        if isinstance(node.get(key), str):
            return iter([node[key]])
    sides = ", ".join(" with ".join(pair) for pair in SIDES)
    raise _UnusableError(
        f"no turns under {_some(node)}: expected a list under one of {', '.join(TURNS)}, lists "
        f"under {sides}, or a text under one of {', '.join(TEXTS)}"
    )


def _turn(node: object) -> str | None:
    """Text of a turn; None for what nobody said (a language model's instructions)."""
    if isinstance(node, str):
        return node
    if isinstance(node, dict):
        if node.get("role") == "system":
            return None
        for key in TEXTS:
            if isinstance(node.get(key), str):
                return str(node[key])
        raise _UnusableError(f"a turn has no text under {_some(node)}")
    raise _UnusableError(f"a turn cannot be a {_kind(node)}")


def _some(node: dict[str, object]) -> str:
    names = sorted(node)
    return ", ".join(names[:6]) + ", ..." * (len(names) > 6) if names else "(no keys)"


def _kind(node: object) -> str:
    kinds = {dict: "object", list: "list", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(node), "null")


def _clean(text: str) -> str:
    return " ".join(storable(text).split())


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise _UnusableError(f"not JSON ({error.msg})") from None
    except ValueError:
        raise _UnusableError("a number is too long") from None
    except RecursionError:
        raise _UnusableError("nested too deeply") from None


def _decode(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        raise _UnusableError(_not_utf8(line)) from None


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
