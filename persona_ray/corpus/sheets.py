"""Tables as spreadsheets write and read them: CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

# Spreadsheets run what begins with these as a formula; an apostrophe keeps it text.
_FORMULA = ("=", "+", "-", "@", "\t")
_DELIMITERS = (",", ";", "\t")


class SheetError(ValueError):
    """A table that cannot be read. The message does not name the file."""


class SheetRow(NamedTuple):
    """`number` counts as a spreadsheet does: the header is row 1."""

    number: int
    cells: dict[str, str]
    too_many: bool


def decode(data: bytes) -> str:
    """Text in UTF-8 (with or without BOM), UTF-16 with BOM, or GB18030. Raises SheetError."""
    utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise SheetError("is no text in UTF-8 or GB18030: save it as CSV in UTF-8")


def read_rows(
    text: str, fits: Callable[[Collection[str]], bool], needed: str
) -> Iterator[SheetRow]:
    """Rows that are not blank, by the separator (comma, semicolon, tab) whose header `fits`.

    Names of columns are in lower case; `needed` says in words which there must be. Raises
    SheetError.
    """
    if not text.strip():
        raise SheetError("is empty")
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = [cell.strip().lower() for cell in next(reader)]
        except csv.Error:
            continue
        if fits(header):
            yield from _body(header, reader)
            return
    raise SheetError(f"needs {needed}; it begins with: {text.strip().splitlines()[0][:100]}")


def write_rows(columns: Sequence[str], rows: Iterable[Mapping[str, str]]) -> bytes:
    """In UTF-8 with BOM, which Excel needs to see Chinese; no cell is run as a formula."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: guard(cell) for name, cell in row.items()})
    return out.getvalue().encode("utf-8-sig")


def guard(text: str) -> str:
    """A cell that no spreadsheet runs."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def unguard(text: str) -> str:
    """What `guard` was given."""
    guarded = text.startswith("'") and text.lstrip("'").startswith(_FORMULA)
    return text[1:] if guarded else text


def _body(header: Sequence[str], reader: Iterator[list[str]]) -> Iterator[SheetRow]:
    number = 1
    while True:
        number += 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise SheetError(f"row {number}: {error}") from None
        if any(cell.strip() for cell in cells):
            # Spreadsheets leave out empty cells at the end.
            padded = [*cells, *[""] * (len(header) - len(cells))]
            too_many = any(cell.strip() for cell in cells[len(header) :])
            yield SheetRow(number, dict(zip(header, padded, strict=False)), too_many)
