"""A library of scripts as CSV, for spreadsheets: a row for each script, lists separated by `|`."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from persona_ray.corpus.sheets import SheetError, decode, read_rows, unguard, write_rows
from persona_ray.errors import LibraryError
from persona_ray.inference.assist.library_yaml import ScriptForm, WhenForm, said
from persona_ray.inference.assist.script_checks import Placed

if TYPE_CHECKING:
    from persona_ray.conversation import Script, ScriptLibrary
    from persona_ray.corpus.sheets import SheetRow

CONDITIONS = tuple(WhenForm.model_fields)
COLUMNS = ("id", "product", "topic", "style", "text", "answers", *CONDITIONS, "max_uses")
_NEEDED = {"id", "text", "answers"}
_VERSION = re.compile(r"^(?P<name>.+?)-(?P<version>\d[\w.]*)$")
_BAR = "|"


def read_csv(data: bytes, file: str) -> tuple[str, str, list[Placed], list[str]]:
    """As `library_yaml.read_yaml`; name and version are those of the file's name. Columns that are
    no key of a script are the owner's own."""
    stem = PurePath(file).stem
    found = _VERSION.match(stem)
    name, version = (found["name"], found["version"]) if found else (stem, "1")
    placed, wrong = [], []
    try:
        for row in read_rows(decode(data), _fits, f"the columns {', '.join(sorted(_NEEDED))}"):
            place = f"{file}, row {row.number}"
            if row.too_many:
                wrong.append(f"{place}: more cells than columns: quote a text with the separator")
                continue
            try:
                placed.append(Placed(ScriptForm.model_validate(_form(row)).script(), place))
            except ValidationError as error:
                wrong += [said(one, place) for one in error.errors()]
    except SheetError as error:
        raise LibraryError(f"script library {file} {error}") from None
    return name, version, placed, wrong


def write_csv(library: ScriptLibrary) -> bytes:
    """What `read_csv` reads back, but for name and version."""
    return write_rows(COLUMNS, [_row(script) for script in library.scripts.values()])


def _fits(header: Collection[str]) -> bool:
    return set(header) >= _NEEDED


def _form(row: SheetRow) -> dict[str, Any]:
    cells = {name: unguard(cell.strip()) for name, cell in row.cells.items()}
    form: dict[str, Any] = {name: cells[name] for name in ("id", "text")}
    form |= {name: cells[name] for name in ("product", "topic", "style") if cells.get(name)}
    form["answers"] = _list(cells["answers"])
    form["when"] = {name: _list(cells[name]) for name in CONDITIONS if cells.get(name)}
    if cells.get("max_uses"):
        form["max_uses"] = int(cells["max_uses"]) if cells["max_uses"].isdecimal() else -1
    return form


def _list(cell: str) -> list[str]:
    return [part for part in (one.strip() for one in cell.split(_BAR)) if part]


def _row(script: Script) -> dict[str, str]:
    if any(_BAR in answer for answer in script.answers):
        raise LibraryError(f"'{script.id}': an answer holds '{_BAR}', which separates them in CSV")
    row = {name: getattr(script, name) for name in ("id", "product", "topic", "style", "text")}
    row |= {name: _BAR.join(getattr(script.conditions, name)) for name in CONDITIONS}
    return row | {"answers": _BAR.join(script.answers), "max_uses": str(script.max_uses)}
