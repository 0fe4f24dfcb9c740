"""What drift is told against: the training of a bundle, and its evaluation by `persona-ray
evaluate`."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.errors import BundleError
from persona_ray.models import manifest
from persona_ray.watch.catalogue import CONFIDENCE_BINS
from persona_ray.watch.drift import Reference, confidence_bin
from persona_ray.watch.instruments import Instrument
from persona_ray.watch.reference import (
    TrainingReference,
    evaluation_references,
    read_reference,
)

if TYPE_CHECKING:
    from persona_ray.config import RunConfig


@dataclass(frozen=True, slots=True)
class References:
    """Of one bundle. `outcomes`: shares of what became of the corpus' calls; may be empty."""

    kinds: Mapping[Instrument, Reference]
    outcomes: Mapping[str, float]


def references(config: RunConfig, digest: str, *folders: Path) -> References:
    """Of the bundle `digest`, which lies in one of `folders`, in the workspace or among the copies
    that are served: how it answered where it was evaluated, else what it learned. Nothing of one
    that is not found, or too old to tell."""
    trained = _trained(config, digest, folders)
    kinds = {} if trained is None else dict(trained.references())
    # How a model answers is compared with how it answered, rather than with what it learned.
    kinds |= _evaluated(config, digest)
    return References(kinds, {} if trained is None else trained.outcomes)


def _trained(config: RunConfig, digest: str, folders: Sequence[Path]) -> TrainingReference | None:
    for folder in (*folders, config.bundle_cache_dir / digest, config.bundle_dir):
        try:
            if manifest.digest(folder) == digest:
                return read_reference(folder)
        except BundleError as error:
            if folder.is_dir():
                logging.getLogger(__name__).warning("no drift is told: %s", error)
    return None


def _evaluated(config: RunConfig, digest: str) -> Mapping[Instrument, Reference]:
    """Nothing where the last evaluation was of another bundle."""
    from persona_ray.evaluation.report.card import CARD

    try:
        card = (config.bundle_dir / CARD).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return {}
    # The report may be of the bundle before this one; the card lies with what it is about.
    return reported(config.workspace / "report.json") if digest in card else {}


def reported(path: Path) -> Mapping[Instrument, Reference]:
    """Of report.json: shares of the bins of confidence, and of the colours that held-out sentences
    got. Nothing where there is no report, or none with a calibration."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        found = report["calibration"][0]["after"]["bins"]
        counts = Counter({confidence_bin(one["high"]): int(one["count"]) for one in found})
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return {}
    total = counts.total()
    if not total:
        return {}
    shares = [counts[number] / total for number in range(CONFIDENCE_BINS)]
    return evaluation_references(shares, _colours(report))


def _colours(report: Mapping[str, Any]) -> dict[str, float]:
    """Empty where the report is of an older release, or nothing was answered."""
    try:
        counts = Counter(
            max(shares, key=shares.__getitem__)
            for call in report["calls"]
            for sentence in call["sentences"]
            for shares in [sentence["probabilities"]]
        )
        labels = [str(label) for label in report["labels"]]
    except (ValueError, KeyError, TypeError):
        return {}
    total = counts.total()
    return {label: counts[label] / total for label in labels} if total else {}
