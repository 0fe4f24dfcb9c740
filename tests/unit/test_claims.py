"""Every test that the claims' tables name exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

_NAMED = re.compile(r"`((?:(?:unit|cluster|browser|drills)/[\w/]+\.py)?)(?:::(\w+))?`")
# Each with the fewest rows that it may have.
PAGES = {
    "docs/claims-screening.md": 40,
    "docs/claims-assist.md": 40,
    "docs/claims-operations.md": 80,
}


@cache
def names_in(path: Path) -> frozenset[str]:
    """Functions, classes and assigned names of a module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.Assign):
            found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
    return frozenset(found)


def claims(text: str) -> list[list[str]]:
    """Cells of each row of each table whose second column names tests."""
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    shown: list[list[str]] = []
    tests = False
    for row in cells:
        if row[1] in ("shown by", "how it stands"):
            tests = row[1] == "shown by"
        elif tests:
            shown.append(row)
    return shown


def named_in(cell: str) -> list[tuple[str, str]]:
    """Paths and names ("" is the whole file); `::name` alone is of the file before it."""
    found: list[tuple[str, str]] = []
    for path, name in _NAMED.findall(cell):
        found.append((path or found[-1][0], name))
    return found


@pytest.mark.parametrize("page", PAGES)
def test_every_claim_names_a_test_that_exists(page: str, repository: Path) -> None:
    rows = claims((repository / page).read_text(encoding="utf-8"))
    assert len(rows) >= PAGES[page]
    missing = []
    for behaviour, shown_by in rows:
        named = named_in(shown_by)
        if not named:
            missing.append(f"{behaviour}: no test")
        for path, name in named:
            file = repository / "tests" / path
            if not file.is_file() or (name and name not in names_in(file)):
                missing.append(f"{behaviour}: {path}::{name}")
    assert missing == []


def test_a_row_is_read_as_a_claim() -> None:
    (row,) = claims("| a | shown by |\n| x | `unit/no.py::test_a`, `::test_b`, `drills/no.py` |")
    assert row[0] == "x"
    assert named_in(row[1]) == [
        ("unit/no.py", "test_a"),
        ("unit/no.py", "test_b"),
        ("drills/no.py", ""),
    ]
