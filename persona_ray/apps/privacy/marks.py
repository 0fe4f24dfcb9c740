"""Bundles that learned of a person: found by their lineage, marked in the registry."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.apps.privacy.keepers import files_below
from persona_ray.apps.privacy.receipts import Learned
from persona_ray.errors import BundleError
from persona_ray.models.lineage import LINEAGE, Lineage
from persona_ray.models.manifest import MANIFEST

if TYPE_CHECKING:
    from persona_ray.config import RunConfig

_FILES = (LINEAGE, MANIFEST)


def mark(config: RunConfig, customer: str, digest: str, now: datetime) -> list[Learned]:
    """Every bundle that heard the customer, or might have. Registered ones get a tag for each
    person forgotten, so that marking twice is marking once. Raises TrackingError."""
    return [*_registered(config, customer, digest, now), *_in_workspace(config, customer)]


def _registered(config: RunConfig, customer: str, digest: str, now: datetime) -> Iterator[Learned]:
    from persona_ray.launch.tracking.runs import OFF
    from persona_ray.launch.versions.records import FORGOTTEN
    from persona_ray.launch.versions.registry import Registry

    if config.tracking.url == OFF:
        return
    names = (
        config.tracking.model,
        config.screening.category.name,
        config.assist.emotion.name,
        config.assist.ranker.name,
    )
    for model in dict.fromkeys(names):
        registry = Registry.open(config, model)
        for version in registry.versions():
            name = ", ".join([f"{model} {version}", *version.aliases])
            try:
                clips = len(registry.lineage(version).clips_of(customer))
            except BundleError as error:
                yield Learned(bundle=name, clips=0, unknown=str(error), marked=False)
                continue
            if clips:
                registry.note(version, f"{FORGOTTEN}{digest[:16]}", f"{now:%Y-%m-%d}")
                yield Learned(bundle=name, clips=clips, marked=True)


def _in_workspace(config: RunConfig, customer: str) -> Iterator[Learned]:
    """Wherever a bundle or an encoder lies: as it was made, fetched, or logged to a run."""
    roots = (config.workspace.absolute(), config.bundle_cache_dir)
    found = {p.parent for root in roots for p, _ in files_below(root) if p.name in _FILES}
    for folder in sorted(found):
        clips, unknown = _heard(folder, customer)
        if clips or unknown:
            inside = folder.is_relative_to(roots[0])
            name = folder.relative_to(roots[0]) if inside else folder
            yield Learned(bundle=str(name), clips=clips, unknown=unknown, marked=False)


def _heard(folder: Path, customer: str) -> tuple[int, str]:
    try:
        return len(Lineage.read(folder).clips_of(customer)), ""
    except BundleError as error:
        return 0, str(error)
