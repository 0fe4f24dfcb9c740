"""How much of the customer base has a colour, which, and how sure it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from persona_ray.files import write_whole
from persona_ray.launch.archive.folder import CUSTOMERS, SUMMARY, Results

# Confidence is told in tenths.
_BINS = 10


@dataclass(frozen=True, slots=True)
class ColourShare:
    """Customers whose primary colour it is, `share` of those with a colour; `confidence` is the
    mean of its probability among them."""

    customers: int
    share: float
    calls: int
    confidence: float


@dataclass(frozen=True, slots=True)
class ArchiveSummary:
    """What is known of all calls and customers of the archive by one model.

    `customers_without` counts those without a colour by the reasons. `confidence` has the
    quartiles of the primary colour's probability over customers with one; `confidence_tenths`
    counts these customers, the first from 0 to 0.1.
    """

    fingerprint: str
    name: str
    version: str
    calls: int
    calls_by_status: Mapping[str, int]
    calls_by_reason: Mapping[str, int]
    sentences: int
    audio_s: float
    customers: int
    customers_with_colour: int
    customers_without: Mapping[str, int]
    colours: Mapping[str, ColourShare]
    confidence: Mapping[str, float]
    confidence_tenths: tuple[int, ...]

    @property
    def coverage(self) -> float:
        """Share of customers with a colour; 0 where there is no customer."""
        return self.customers_with_colour / self.customers if self.customers else 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "coverage": round(self.coverage, 6)}

    def write(self, folder: Path) -> None:
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False)
        write_whole(folder / SUMMARY, text + "\n")


def summarise(
    path: Path, results: Results, fingerprint: str, name: str, version: str
) -> ArchiveSummary:
    """From the files in `path`."""
    labels = results.labels
    columns = ["primary", "reason", *(f"p_{label}" for label in labels)]
    customers = pq.read_table(path / CUSTOMERS, columns=columns)
    calls = pa.concat_tables(
        pq.read_table(path / shard.name, columns=["primary", "status", "reason"])
        for shard in results.call_shards
    )
    shares = np.column_stack([customers[f"p_{label}"].to_numpy().astype(float) for label in labels])
    primary = np.array(customers["primary"].to_pylist(), dtype=object)
    has = primary != None  # noqa: E711
    confidence = shares[has].max(axis=1, initial=0.0)
    call_colours = _counts(calls["primary"])
    without = customers.filter(pc.is_null(customers["primary"]))
    return ArchiveSummary(
        fingerprint=fingerprint,
        name=name,
        version=version,
        calls=calls.num_rows,
        calls_by_status=_counts(calls["status"]),
        calls_by_reason=_counts(calls["reason"]),
        sentences=results.counts.get("sentences", 0),
        audio_s=results.audio_s,
        customers=customers.num_rows,
        customers_with_colour=int(has.sum()),
        customers_without=_counts(without["reason"]),
        colours={
            label: _share(confidence[primary[has] == label], int(has.sum()), call_colours, label)
            for label in labels
        },
        confidence=_quartiles(confidence),
        confidence_tenths=tuple(np.histogram(confidence, _BINS, (0.0, 1.0))[0].tolist()),
    )


def _share(
    mine: np.ndarray[Any, Any], everyone: int, calls: Mapping[str, int], label: str
) -> ColourShare:
    return ColourShare(
        customers=len(mine),
        share=round(len(mine) / everyone, 6) if everyone else 0.0,
        calls=calls.get(label, 0),
        confidence=round(float(mine.mean()), 6) if len(mine) else 0.0,
    )


def _quartiles(confidence: np.ndarray[Any, Any]) -> dict[str, float]:
    if not len(confidence):
        return {}
    names = ("lower_quartile", "median", "upper_quartile")
    found = np.quantile(confidence, (0.25, 0.5, 0.75))
    return {name: round(float(value), 6) for name, value in zip(names, found, strict=True)}


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """How often each value stands in it, the most frequent first; nulls and empty ones do not
    count."""
    counted = {pair["values"]: pair["counts"] for pair in pc.value_counts(column).to_pylist()}
    kept = [(value, count) for value, count in counted.items() if value]
    return dict(sorted(kept, key=lambda pair: (-pair[1], pair[0])))
