"""Annotations as CSV, the way spreadsheets write and read it.

Columns: `clip_id` (or `call_id`, `start_s`, `end_s`), `annotator`, `label`, and where there are
any `note` and `created_at`; other columns are for the people who annotate. A row without a label
is a clip still to be annotated.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from persona_ray.config.corpus import AnnotationConfig
from persona_ray.corpus.annotation.labels import parse_label
from persona_ray.corpus.annotation.parsed import ParsedFile, Problems, parse_place, parse_time
from persona_ray.corpus.sheets import SheetError, SheetRow, decode, guard, read_rows, unguard
from persona_ray.errors import AnnotationError
from persona_ray.store import Annotation
from persona_ray.types import ClipInfo

COLUMNS = (
    "clip_id", "call_id", "start_s", "end_s", "annotator", "label", "note", "created_at",
    "text", "scene", "facts",
)  # fmt: skip
_PLACES = ({"clip_id"}, {"call_id", "start_s", "end_s"})


def read_csv(path: Path, config: AnnotationConfig, annotator: str = "") -> ParsedFile:
    """Read a file in UTF-8 (with or without BOM), UTF-16 with BOM, or GB18030.

    `annotator` stands for rows that name none. Separators are comma, semicolon or tab. Raises
    AnnotationError for a file that cannot be read or lacks columns; wrong rows are gathered in
    `problems`.
    """
    problems = Problems(path)
    annotations: dict[tuple[str, str], tuple[int, Annotation]] = {}
    blank = 0
    for row in _rows(path, need_annotator=not annotator):
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
        "note": guard(item.note) if item else "",
        "created_at": item.created_at.isoformat() if item and item.created_at else "",
        "text": guard(info.text),
        "scene": guard(info.scene),
        "facts": guard(facts_text(info)),
    }


def _annotation(row: SheetRow, config: AnnotationConfig, annotator: str, source: str) -> Annotation:
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
        note=unguard(cells.get("note", "").strip()),
        source=source,
        created_at=parse_time(cells.get("created_at", "")),
    )


def _rows(path: Path, need_annotator: bool) -> Iterator[SheetRow]:
    needed = {"label", "annotator"} if need_annotator else {"label"}

    def fits(header: Collection[str]) -> bool:
        return needed <= set(header) and any(place <= set(header) for place in _PLACES)

    words = f"the columns clip_id (or call_id, start_s, end_s) and {', '.join(sorted(needed))}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        yield from read_rows(decode(data), fits, words)
    except SheetError as error:
        raise AnnotationError(f"{path} {error}") from None
