"""How well each script of a library fits what a customer has just said."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from persona_ray.inference.assist.bm25 import Bm25

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.records import SpeechInformation
    from persona_ray.models.contract import RankerContract
    from persona_ray.models.ranker.network import TwoTowers
    from persona_ray.models.ranker.records import Query

Made = TypeVar("Made")
# Libraries whose side of the ranking is kept: that of now, and those that calls began with.
_KEPT = 4
# Share of the most that BM25 can say at which a script is as likely as not to be about what was
# said, and how the log-odds grow with it: on planted conversations (docs/decisions/0035-ranker.md).
_BM25_FITS, _BM25_SLOPE = 0.11, 60.0


class ScriptRanker(Protocol):
    """Seam: whoever says how well scripts fit. Safe to be asked from many threads."""

    @property
    def name(self) -> str:
        """The model and its version, as suggestions tell it."""
        ...

    def targets(
        self, information: SpeechInformation, library: ScriptLibrary
    ) -> Mapping[str, float]:
        """By id, for every script: log-odds that it fits; 0 is as good as nothing. Without regard
        to its conditions."""
        ...


class PerLibrary(Generic[Made]):
    """What is made of a library once, kept by its digest."""

    def __init__(self, make: Callable[[ScriptLibrary], Made]) -> None:
        self._make = make
        self._kept: OrderedDict[str, Made] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, library: ScriptLibrary) -> Made:
        with self._lock:
            if library.digest not in self._kept:
                self._kept[library.digest] = self._make(library)
            self._kept.move_to_end(library.digest)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[library.digest]


class Bm25Ranker:
    """By common characters alone, with no training: hears no tone and knows no colour."""

    name = "bm25"

    def __init__(self) -> None:
        self._indexes = PerLibrary(lambda library: Bm25(tuple(library.scripts.values())))

    def targets(
        self, information: SpeechInformation, library: ScriptLibrary
    ) -> Mapping[str, float]:
        shares = self._indexes(library).shares(information.sentence.text)
        return {
            script: _BM25_SLOPE * (share - _BM25_FITS)
            for script, share in zip(library.scripts, shares, strict=True)
        }


class TowerRanker:
    """By a trained bundle. The scripts' side is computed once for each library."""

    def __init__(self, model: TwoTowers, contract: RankerContract, name: str) -> None:
        self._model = model
        self._contract = contract
        self._vectors = PerLibrary(self._items)
        self.name = name

    @classmethod
    def load(cls, bundle: Path, name: str = "", keep: bool = False) -> TowerRanker:
        """Raises BundleError. `name` empty: `ranker` and the beginning of the bundle's digest.
        `keep`: what was once read is kept, for judging many rankers on the same turns."""
        from persona_ray.models.manifest import digest
        from persona_ray.models.ranker.bundle import load_ranker

        return cls(*load_ranker(bundle, keep), name or f"ranker {digest(bundle)[:12]}")

    def targets(
        self, information: SpeechInformation, library: ScriptLibrary
    ) -> Mapping[str, float]:
        return self.targets_of(as_query(information), library)

    def targets_of(self, query: Query, library: ScriptLibrary) -> Mapping[str, float]:
        import torch

        items = self._vectors(library)
        with torch.inference_mode():
            vectors = self._model.query_vectors(self._model.read_queries([query]))
            (scores,) = self._model.scores(vectors, items).tolist()
        slope, offset = self._contract.slope, self._contract.offset
        return {
            script: slope * score + offset
            for script, score in zip(library.scripts, scores, strict=True)
        }

    def _items(self, library: ScriptLibrary) -> Tensor:
        """(scripts, width), in the library's order."""
        import torch

        from persona_ray.models.ranker.records import item_of

        with torch.inference_mode():
            read = self._model.read_items([item_of(one) for one in library.scripts.values()])
            return self._model.item_vectors(read)


def as_query(information: SpeechInformation) -> Query:
    """What the ranker reads of a sentence; the tone of one that was talked over says nothing."""
    from persona_ray.models.ranker.records import query_of

    sentence = information.sentence
    return query_of(
        sentence.text,
        [turn.text for turn in information.before],
        information.scene,
        information.relation,
        information.mood.combined,
        None if sentence.overlapped else sentence.tone,
        information.colour,
    )
