"""reference.json: what a model was trained on, as far as drift is told against it.

It lies in the bundle, listed in bundle.json like any other file; older bundles have none. It holds
shares alone, nothing of a single customer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from persona_ray.errors import BundleError
from persona_ray.watch import catalogue
from persona_ray.watch.drift import ConfidenceShares, NamedShares, NumericShares, Reference
from persona_ray.watch.instruments import Instrument

REFERENCE = "reference.json"
TRAINING, EVALUATION = "training", "evaluation"
# Deciles: each bin holds a tenth of the reference.
_BINS = 10
_DIGITS = 6


def evaluation_references(
    confidence: Sequence[float], colours: Mapping[str, float]
) -> Mapping[Instrument, Reference]:
    """Of a bundle's evaluation: which share of its answers each bin of confidence held, and each
    colour had (empty: not known)."""
    bins = ConfidenceShares(tuple(confidence))
    found = {catalogue.CONFIDENCE_DRIFT: Reference(EVALUATION, bins)}
    if colours:
        found[catalogue.COLOUR_DRIFT] = Reference(EVALUATION, NamedShares(colours))
    return found


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Shares(_Strict):
    """Shares of the bins (edges[i - 1], edges[i]], the outer ones open."""

    edges: tuple[FiniteFloat, ...]
    shares: tuple[FiniteFloat, ...]

    @model_validator(mode="after")
    def _fit(self) -> Shares:
        NumericShares(self.edges, self.shares)
        return self

    @classmethod
    def of(cls, values: Sequence[float]) -> Shares:
        """Of values, at least one, by their deciles; deciles that are the same are one."""
        rounded = np.round(values, _DIGITS)
        edges = np.unique(np.quantile(rounded, np.arange(1, _BINS) / _BINS, method="lower"))
        counts = np.bincount(np.searchsorted(edges, rounded), minlength=len(edges) + 1)
        shares = np.round(counts / len(values), _DIGITS)
        return cls(edges=tuple(edges.tolist()), shares=tuple(shares.tolist()))


class TrainingReference(_Strict):
    """`colours`: shares of labels over the training clips; `outcomes`: of what became of the
    corpus' calls. The others are over `sentences` of the training clips."""

    version: Literal[1] = 1
    sentences: int = Field(ge=1)
    colours: dict[str, FiniteFloat]
    outcomes: dict[str, FiniteFloat]
    level_dbfs: Shares
    silence: Shares
    clipping: Shares
    characters_per_s: Shares

    def references(self) -> Mapping[Instrument, Reference]:
        """What each kind of drift is told against."""
        numeric = {
            catalogue.LEVEL_DRIFT: self.level_dbfs,
            catalogue.SILENCE_DRIFT: self.silence,
            catalogue.CLIPPING_DRIFT: self.clipping,
            catalogue.SPEECH_RATE_DRIFT: self.characters_per_s,
        }
        return {
            catalogue.COLOUR_DRIFT: Reference(TRAINING, NamedShares(self.colours)),
            **{
                kind: Reference(TRAINING, NumericShares(one.edges, one.shares))
                for kind, one in numeric.items()
            },
        }

    def write(self, folder: Path) -> None:
        text = json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)
        (folder / REFERENCE).write_text(text + "\n", encoding="utf-8")


def read_reference(folder: Path) -> TrainingReference | None:
    """Of a bundle; None for one that has none. Raises BundleError for a damaged one."""
    try:
        return TrainingReference.model_validate_json((folder / REFERENCE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        said = " ".join(str(error).split())[:200]
        raise BundleError(f"{folder / REFERENCE} cannot be read: {said}") from None
