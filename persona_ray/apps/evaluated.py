"""What `persona-ray evaluate` found of the workspace's bundle, as far as a service needs it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.errors import BundleError
from persona_ray.models import manifest
from persona_ray.serving.drift import CONFIDENCE_BINS, Evaluated, confidence_bin

if TYPE_CHECKING:
    from persona_ray.config import RunConfig


def last_evaluation(config: RunConfig) -> Evaluated | None:
    """None where the bundle that lies in the workspace was not evaluated."""
    from persona_ray.evaluation.report.card import CARD

    try:
        digest = manifest.digest(config.bundle_dir)
        card = (config.bundle_dir / CARD).read_text(encoding="utf-8")
    except (BundleError, OSError, ValueError):
        return None
    # The report may be of the bundle before this one; the card lies with what it is about.
    shares = reference_confidence(config.workspace / "report.json") if digest in card else ()
    return Evaluated(digest, shares) if shares else None


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
