"""The truth files of an archive: frozen records, written and read as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from persona_ray.errors import ArchiveError

CALLS, UTTERANCES, CUSTOMERS = "calls.jsonl", "utterances.jsonl", "customers.jsonl"


@dataclass(frozen=True, slots=True)
class TruthCall:
    """One call. `true_customer_channel` is that of the file, whatever the database says.

    `expected` is `ok` or `quarantine`, `expected_reason` then a `QuarantineReason` value.
    """

    call_id: str
    customer_id: str
    agent_id: str
    colour: str
    secondary: str
    dirt: tuple[str, ...]
    true_customer_channel: int
    expected: str
    expected_reason: str | None


@dataclass(frozen=True, slots=True)
class TruthUtterance:
    """One utterance. Borders are those of the speech, silence trimmed to 5 ms.

    `speaker` is `agent` or `customer`, and the other one's id is None. `colour` is the customer's
    primary colour (None for an agent); `leaning` the colour the sentence was drawn for or
    `neutral` (None for agents and fillers); `fits` all colours its clauses suit.
    """

    call_id: str
    index: int
    speaker: str
    customer_id: str | None
    agent_id: str | None
    channel: int
    start_s: float
    end_s: float
    text: str
    colour: str | None
    leaning: str | None
    fits: tuple[str, ...]
    dirt: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TruthCustomer:
    """One customer: colours, sex, the blend of base voices and the planted prosody."""

    customer_id: str
    colour: str
    secondary: str
    sex: str
    timbre: dict[str, float]
    manner: dict[str, float]
    prosody: dict[str, float]


Record = TypeVar("Record", TruthCall, TruthUtterance, TruthCustomer)


def read_calls(archive: Path) -> list[TruthCall]:
    """The calls of the archive folder. Raises `ArchiveError` when the file is missing or odd."""
    return _read(archive / "truth" / CALLS, TruthCall)


def read_utterances(archive: Path) -> list[TruthUtterance]:
    """The utterances of the archive folder, in order of calls and time."""
    return _read(archive / "truth" / UTTERANCES, TruthUtterance)


def read_customers(archive: Path) -> list[TruthCustomer]:
    """The customers of the archive folder."""
    return _read(archive / "truth" / CUSTOMERS, TruthCustomer)


def write_records(
    path: Path, records: Iterable[TruthCall | TruthUtterance | TruthCustomer]
) -> None:
    """`records` as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(asdict(record), ensure_ascii=False) for record in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _read(path: Path, kind: type[Record]) -> list[Record]:
    if not path.is_file():
        raise ArchiveError(
            f"{path} is missing: this archive has no planted truth; "
            "make one with `persona-ray synth build`"
        )
    records = []
    # Bytes: a text may hold marks that str.splitlines takes for the end of a line.
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            records.append(_record(json.loads(line), kind))
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveError(f"{path}, line {number} is no {kind.__name__}: {error}") from error
    return records


def _record(row: dict[str, Any], kind: type[Record]) -> Record:
    values = {field.name: row[field.name] for field in fields(kind)}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return kind(**{**values, **lists})
