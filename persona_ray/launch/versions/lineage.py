"""From a bundle to the clips and customers it was trained on; from a customer to the bundles."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from persona_ray.config import RunConfig
from persona_ray.config.learning import ModelConfig
from persona_ray.errors import BundleError
from persona_ray.launch.tracking.runs import OFF
from persona_ray.launch.versions.registry import Registry
from persona_ray.models import manifest as bundles
from persona_ray.models.lineage import Heard, Lineage, Use, heard_before
from persona_ray.types import Example, Modality, Split

_USES = {Split.TRAIN: Use.TRAIN, Split.DEV: Use.DEV}


@dataclass(frozen=True, slots=True)
class BundleUses:
    """How many clips of a customer a bundle used, and for what; `unknown` says why nobody knows."""

    bundle: str
    uses: Mapping[Use, int]
    unknown: str = ""


def lineage_of(examples: Iterable[Example], model: ModelConfig) -> Lineage:
    """Of a bundle to be written: its training and dev clips, and whom its encoders, named in
    `model`, heard before."""
    heard = [
        Heard(example.clip_id, example.customer_id, _USES[example.split], example.label)
        for example in examples
        if example.split in _USES
    ]
    if model.modality is not Modality.TEXT:
        heard += heard_before(model.speech.path)
    if model.modality is not Modality.SPEECH:
        heard += heard_before(model.text.path)
    return Lineage.of(heard)


def bundles_of(config: RunConfig, customer_id: str) -> list[BundleUses]:
    """Every bundle that heard the customer, or might have: the registered ones, newest first, and
    the workspace's where it is none of them."""
    found: list[BundleUses] = []
    digests = set()
    if config.tracking.url != OFF:
        registry = Registry.open(config)
        for version in registry.versions():
            digests.add(version.digest)
            name = ", ".join([str(version), *version.aliases])
            try:
                lineage = registry.lineage(version)
            except BundleError as error:
                found.append(BundleUses(name, {}, str(error)))
            else:
                found.append(BundleUses(name, _uses(lineage, customer_id)))
    folder = config.bundle_dir
    if (folder / bundles.MANIFEST).is_file() and bundles.digest(folder) not in digests:
        try:
            found.append(BundleUses(str(folder), _uses(Lineage.read(folder), customer_id)))
        except BundleError as error:
            found.append(BundleUses(str(folder), {}, str(error)))
    return [entry for entry in found if entry.uses or entry.unknown]


def write_csv(lineage: Lineage, path: Path) -> int:
    """One row for each use of a clip; the number of rows."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["clip_id", "customer_id", "split", "label"])
        for row in lineage:
            writer.writerow([row.clip_id, row.customer_id, row.split.value, row.label])
    return len(lineage)


def _uses(lineage: Lineage, customer_id: str) -> Counter[Use]:
    return Counter(row.split for row in lineage.clips_of(customer_id))
