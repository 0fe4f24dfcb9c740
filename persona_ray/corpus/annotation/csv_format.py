"""Annotations as CSV, the way spreadsheets write and read it.

Columns: `clip_id` (or `call_id`, `start_s`, `end_s`), `annotator`, `label`, and where there are
any `note` and `created_at`; other columns are for the people who annotate. A row without a label
is a clip still to be annotated.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.labels import parse_label
from persona_ray.corpus.annotation.parsed import ParsedFile, Problems, parse_place, parse_time
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation
from persona_ray.types import ClipInfo

COLUMNS = (
    "clip_id", "call_id", "start_s", "end_s", "annotator", "label", "note", "created_at",
    "text", "scene", "facts",
)  # fmt: skip
# Spreadsheets run what begins with these as a formula; an apostrophe keeps it text.
_FORMULA = ("=", "+", "-", "@", "\t")
_DELIMITERS = (",", ";", "\t")
_PLACES = ({"clip_id"}, {"call_id", "start_s", "end_s"})


class _Row(NamedTuple):
    """`number` counts as a spreadsheet does: the header is row 1."""

    number: int
    cells: dict[str, str]
    too_many: bool


def read_csv(path: Path, config: AnnotationConfig, annotator: str = "") -> ParsedFile:
    """Read a file in UTF-8 (with or without BOM), UTF-16 with BOM, or GB18030.

    `annotator` stands for rows that name none. Separators are comma, semicolon or tab. Raises
    AnnotationError for a file that cannot be read or lacks columns; wrong rows are gathered in
    `problems`.
    """
    problems = Problems(path)
    annotations: dict[tuple[str, str], tuple[int, Annotation]] = {}
    blank = 0
    for row in _rows(path, _decode(path), need_annotator=not annotator):
        if not row.cells["label"].strip():
            blank += 1
            continue
        try:
            item = _annotation(row, config, annotator, source=path.name)
            key = (item.target, item.annotator)
            before, earlier = annotations.setdefault(key, (row.number, item))
            if earlier.label != item.label:
                raise AnnotationError(
                    f"annotator '{item.annotator}' says '{item.label}' of what row {before} "
                    f"calls '{earlier.label}'"
                )
        except AnnotationError as error:
            problems.add(f"row {row.number}", error)
    return ParsedFile(tuple(item for _, item in annotations.values()), blank, problems)


def write_csv(
    path: Path, infos: Iterable[ClipInfo], annotations: Mapping[str, Mapping[str, Annotation]]
) -> int:
    """Write a row for each annotation (by clip id and annotator) and each clip without one.

    In UTF-8 with BOM, which Excel needs to see Chinese. Returns the number of rows.
    """
    rows = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for info in infos:
            for item in annotations.get(info.clip_id, {}).values() or (None,):
                writer.writerow(_row(info, item))
                rows += 1
    return rows


def facts_text(info: ClipInfo) -> str:
    """What annotators may know of the customer, as one line."""
    return "; ".join(f"{name}: {value}" for name, value in info.facts.items())


def _row(info: ClipInfo, item: Annotation | None) -> dict[str, str]:
    return {
        "clip_id": info.clip_id,
        "call_id": info.call_id,
        "start_s": f"{info.start_s:.3f}",
        "end_s": f"{info.end_s:.3f}",
        "annotator": item.annotator if item else "",
        "label": item.label if item else "",
        "note": _guard(item.note) if item else "",
        "created_at": item.created_at.isoformat() if item and item.created_at else "",
        "text": _guard(info.text),
        "scene": _guard(info.scene),
        "facts": _guard(facts_text(info)),
    }


def _annotation(row: _Row, config: AnnotationConfig, annotator: str, source: str) -> Annotation:
    cells = row.cells
    if row.too_many:
        raise AnnotationError(
            "there are more cells than columns: quote a text that holds the separator"
        )
    place = parse_place(cells)
    who = cells.get("annotator", "").strip() or annotator
    if not who:
        raise AnnotationError("no annotator is named")
    return Annotation(
        annotator=who,
        label=parse_label(cells["label"], config),
        clip_id=place.clip_id,
        call_id=place.call_id,
        start_s=place.start_s,
        end_s=place.end_s,
        note=_unguard(cells.get("note", "").strip()),
        source=source,
        created_at=parse_time(cells.get("created_at", "")),
    )


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror or error}") from None
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise AnnotationError(f"{path} is no text in UTF-8 or GB18030: save it as CSV in UTF-8")


def _rows(path: Path, text: str, need_annotator: bool) -> Iterator[_Row]:
    if not text.strip():
        raise AnnotationError(f"{path} is empty")
    needed = {"label", "annotator"} if need_annotator else {"label"}
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = [cell.strip().lower() for cell in next(reader)]
        except csv.Error:
            continue
        if needed <= set(header) and any(place <= set(header) for place in _PLACES):
            yield from _body(path, header, reader)
            return
    raise AnnotationError(
        f"{path} needs the columns clip_id (or call_id, start_s, end_s) and "
        f"{', '.join(sorted(needed))}; it begins with: {text.strip().splitlines()[0][:100]}"
    )


def _body(path: Path, header: Sequence[str], reader: Iterator[list[str]]) -> Iterator[_Row]:
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise AnnotationError(f"{path}, row {number}: {error}") from None
        if any(cell.strip() for cell in cells):
            # Spreadsheets leave out empty cells at the end.
            padded = [*cells, *[""] * (len(header) - len(cells))]
            too_many = any(cell.strip() for cell in cells[len(header) :])
            yield _Row(number, dict(zip(header, padded, strict=False)), too_many)


def _guard(text: str) -> str:
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def _unguard(text: str) -> str:
    guarded = text.startswith("'") and text.lstrip("'").startswith(_FORMULA)
    return text[1:] if guarded else text
