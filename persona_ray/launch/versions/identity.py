"""Which registered version a bundle is."""

from __future__ import annotations

from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.errors import TrackingError
from persona_ray.launch.tracking.runs import has_store
from persona_ray.launch.versions.registry import Registry
from persona_ray.models.manifest import digest
from persona_ray.store import RecognitionModel


def identify(config: RunConfig, bundle: Path) -> RecognitionModel:
    """By its digest; without name and version where it is none of the registry's, or where no
    registry answers: a name is not worth a failed job."""
    fingerprint = digest(bundle)
    if not has_store(config):
        return RecognitionModel(fingerprint)
    try:
        versions = Registry.open(config).versions()
    except TrackingError:
        return RecognitionModel(fingerprint)
    for version in versions:
        if version.digest == fingerprint:
            return RecognitionModel(fingerprint, version.model, str(version.number))
    return RecognitionModel(fingerprint)
