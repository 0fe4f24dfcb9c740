"""lineage.parquet: whom a model heard before it was done, clip by clip.

It lies in a bundle, listed in bundle.json like any other file, and beside an encoder that
continued pretraining left, so that a bundle which starts from that encoder can tell of it too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from persona_ray.errors import BundleError, EncoderError
from persona_ray.files import draft

LINEAGE = "lineage.parquet"


class Use(StrEnum):
    """What a clip was there for."""

    PRETRAINING = "pretraining"
    TRAIN = "train"
    # Not learned from, but looked at: when to stop, how sure to be.
    DEV = "dev"


@dataclass(frozen=True, slots=True)
class Heard:
    """A clip that was heard or read. `label` is empty where it was not used."""

    clip_id: str
    customer_id: str
    split: Use
    label: str = ""


class Lineage:
    """All clips a model has heard, each use of a clip once, in order of use, customer and clip."""

    def __init__(self, table: Any) -> None:
        """`table`: a pyarrow.Table with the columns of `Heard`."""
        self._table = table

    @classmethod
    def of(cls, heard: Iterable[Heard]) -> Lineage:
        import pyarrow as pa

        order = list(Use)
        rows = sorted(
            {(order.index(row.split), row.customer_id, row.clip_id): row for row in heard}.items()
        )
        columns = {
            "clip_id": pa.array([row.clip_id for _, row in rows], pa.string()),
            "customer_id": pa.array([row.customer_id for _, row in rows], pa.string()),
            "split": pa.array([row.split.value for _, row in rows], pa.string()),
            "label": pa.array([row.label for _, row in rows], pa.string()),
        }
        return cls(pa.table(columns))

    @classmethod
    def read(cls, folder: Path) -> Lineage:
        """Of a bundle's or an encoder's folder. Raises BundleError where there is none."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        file = folder / LINEAGE
        if not file.is_file():
            raise BundleError(
                f"{folder} has no {LINEAGE}, so that nobody knows whom it heard: "
                "it was made by an older release; train it again"
            )
        try:
            table = pq.read_table(file, columns=["clip_id", "customer_id", "split", "label"])
            lineage = cls(table)
            for use in table.column("split").unique().to_pylist():
                Use(use)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BundleError(f"{file} is damaged ({reason}): train again") from None
        return lineage

    def write(self, folder: Path) -> None:
        """The same clips give the same bytes."""
        import pyarrow.parquet as pq

        with draft(folder / LINEAGE) as file:
            pq.write_table(self._table, file, compression="zstd")

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __iter__(self) -> Iterator[Heard]:
        for batch in self._table.to_batches(max_chunksize=10_000):
            for row in batch.to_pylist():
                yield Heard(row["clip_id"], row["customer_id"], Use(row["split"]), row["label"])

    def customers(self) -> dict[str, Counter[Use]]:
        """Each customer that was heard, with the clips for each use."""
        found: dict[str, Counter[Use]] = defaultdict(Counter)
        counts = self._table.group_by(["customer_id", "split"]).aggregate([("clip_id", "count")])
        for row in counts.to_pylist():
            found[row["customer_id"]][Use(row["split"])] += row["clip_id_count"]
        return dict(found)

    def clips_of(self, customer_id: str) -> list[Heard]:
        import pyarrow.compute as pc

        chosen = self._table.filter(pc.equal(self._table.column("customer_id"), customer_id))
        return list(Lineage(chosen))


def heard_before(encoder: str) -> list[Heard]:
    """Whom the encoder in the folder `encoder` heard before it came here, all as pretraining: what
    is written beside it, or in the bundle that it is a part of. Of others nothing is known.

    Raises EncoderError for one that continued pretraining left without a word about it.
    """
    from persona_ray.models.manifest import MANIFEST
    from persona_ray.models.pretrained import PRETRAINING

    folder = Path(encoder)
    if not encoder or not folder.is_dir():
        return []
    if (folder / PRETRAINING).is_file() and not (folder / LINEAGE).is_file():
        raise EncoderError(
            f"{folder} does not tell whom it heard: an older release pretrained it; give the same "
            "`persona-ray pretrain` again, which notes it and learns nothing anew"
        )
    places = [folder, *([folder.parent] if (folder.parent / MANIFEST).is_file() else [])]
    return [
        Heard(row.clip_id, row.customer_id, Use.PRETRAINING)
        for place in places
        if (place / LINEAGE).is_file()
        for row in Lineage.read(place)
    ]
