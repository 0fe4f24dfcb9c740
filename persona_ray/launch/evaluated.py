"""What drift is told against: the training of a bundle, and its evaluation by `persona-ray
evaluate`."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.errors import BundleError
from persona_ray.models import manifest
from persona_ray.watch.catalogue import CONFIDENCE_BINS
from persona_ray.watch.drift import Reference, confidence_bin
from persona_ray.watch.instruments import Instrument
from persona_ray.watch.reference import Evaluated, TrainingReference, read_reference

if TYPE_CHECKING:
    from persona_ray.config import RunConfig


@dataclass(frozen=True, slots=True)
class References:
    """Of one bundle. `outcomes`: shares of what became of the corpus' calls; may be empty."""

    kinds: Mapping[Instrument, Reference]
    outcomes: Mapping[str, float]


def references(config: RunConfig, bundle: Path, digest: str) -> References:
    """Of the bundle in a folder: how it answered where it was evaluated, else what it learned."""
    try:
        trained = read_reference(bundle)
    except BundleError as error:
        logging.getLogger(__name__).warning("no drift is told: %s", error)
        trained = None
    evaluated = last_evaluation(config)
    kinds = {} if trained is None else dict(trained.references())
    if evaluated is not None and evaluated.digest == digest:
        kinds |= evaluated.references()
    return References(kinds, {} if trained is None else trained.outcomes)


def last_evaluation(config: RunConfig) -> Evaluated | None:
    """None where the bundle that lies in the workspace was not evaluated."""
    from persona_ray.evaluation.report.card import CARD

    try:
        digest = manifest.digest(config.bundle_dir)
        card = (config.bundle_dir / CARD).read_text(encoding="utf-8")
    except (BundleError, OSError, ValueError):
        return None
    # The report may be of the bundle before this one; the card lies with what it is about.
    report = config.workspace / "report.json"
    shares = reference_confidence(report) if digest in card else ()
    return Evaluated(digest, shares, reference_colours(report)) if shares else None


def trained_reference(config: RunConfig, digest: str) -> TrainingReference | None:
    """What the bundle `digest` was trained on, if it lies in the workspace or among the copies that
    are served. None where it does not, or where it is too old to tell."""
    for folder in (config.bundle_cache_dir / digest, config.bundle_dir):
        try:
            if manifest.digest(folder) == digest:
                return read_reference(folder)
        except BundleError as error:
            if folder.is_dir():
                logging.getLogger(__name__).warning("no drift is told: %s", error)
    return None


def reference_confidence(report: Path) -> tuple[float, ...]:
    """Shares of the confidence bins from report.json; empty where there is no report, or none with
    a calibration."""
    try:
        found = json.loads(report.read_text(encoding="utf-8"))["calibration"][0]["after"]["bins"]
        counts = Counter({confidence_bin(one["high"]): int(one["count"]) for one in found})
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return ()
    if not counts.total():
        return ()
    return tuple(counts[number] / counts.total() for number in range(CONFIDENCE_BINS))


def reference_colours(report: Path) -> dict[str, float]:
    """Shares of the colours that the bundle gave the held-out sentences, from report.json; empty
    where there is none."""
    try:
        tree = json.loads(report.read_text(encoding="utf-8"))
        counts = Counter(_colours(tree["calls"]))
        labels = [str(label) for label in tree["labels"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    total = counts.total()
    return {label: counts[label] / total for label in labels} if total else {}


def _colours(calls: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for call in calls:
        for sentence in call["sentences"]:
            shares: Mapping[str, float] = sentence["probabilities"]
            yield max(shares, key=lambda label: shares[label])
