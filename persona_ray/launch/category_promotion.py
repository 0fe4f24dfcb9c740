"""A trained category model becomes a version; champion where it is better than the champion."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.corpus.dialogues import Dialogue
from persona_ray.errors import PersonaRayError, RegistryError
from persona_ray.evaluation.categories import ALL, predictions
from persona_ray.evaluation.paired import MIN_CUSTOMERS, compare_paired
from persona_ray.evaluation.scores import Prediction
from persona_ray.launch.registry import Registry
from persona_ray.launch.tracking import OFF
from persona_ray.launch.versions import Action, Alias, Change
from persona_ray.models.lineage import Lineage

if TYPE_CHECKING:
    from persona_ray.config.screening_policy import PolicyConfig
    from persona_ray.evaluation.paired import Paired
    from persona_ray.inference.screening.categories import CategoryReader
    from persona_ray.launch.versions import Version

# What the difference is of, after the first turn and after all of them.
_DECIDES = "accuracy after one turn and after all, in the policy's categories"


def register(
    config: RunConfig, bundle: Path, test: Sequence[Dialogue], run_id: str, force: bool
) -> tuple[str, str]:
    """The version's address with its aliases (empty where it has none), and why it is champion or
    not.

    The first version becomes champion. A later one does where it is better than the champion on the
    dialogues `test` that neither has learnt from, beyond noise: the whole 95 % interval of the
    difference lies above 0. It does with `force` whatever comes out; else it is challenger.
    """
    if config.tracking.url == OFF or not config.tracking.challenger:
        return "", ""
    try:
        registry = Registry.open(config, config.screening.category.name)
        version = registry.register(bundle, run_id)
        before = registry.holder(Alias.CHAMPION)
        why = ""
        if before is None or before.number != version.number:
            why = _placed(config, registry, version, before, (bundle, test), force)
        version = registry.find(str(version.number))
    except PersonaRayError as error:
        # It lies in the workspace: a registry that fails now costs nothing but a command later.
        logging.getLogger(__name__).warning("%s: the bundle is not registered", error)
        return "", ""
    return f"{version.uri} ({', '.join(version.aliases)})", why


def _placed(
    config: RunConfig,
    registry: Registry,
    version: Version,
    before: Version | None,
    judged: tuple[Path, Sequence[Dialogue]],
    force: bool,
) -> str:
    """Champion or challenger; the reason in words."""
    decision, why = "first", "the first version"
    if before is not None:
        try:
            paired = compare(config, registry.fetch(before), *judged)
            better, why = is_better(paired), _told(paired, before)
        except PersonaRayError as error:
            better, why = False, f"not compared with {before}: {error}"
        decision = "better" if better else "forced" if force else ""
    if not decision:
        registry.point(Alias.CHALLENGER, version)
        return f"{why}; --promote makes it champion all the same"
    number = None if before is None else before.number
    details = {"decision": decision, "reason": why}
    registry.record(Change(Action.PROMOTE, number, version.number, datetime.now(UTC), details))
    registry.point(Alias.CHAMPION, version)
    if Alias.CHALLENGER in version.aliases:
        registry.release(Alias.CHALLENGER)
    return why


def compare(config: RunConfig, champion: Path, bundle: Path, test: Sequence[Dialogue]) -> Paired:
    """The champion's bundle (first) and another on the dialogues of `test` that the champion has
    not learnt from; the other one has learnt from none of them.

    Raises RegistryError where too few are left, BundleError.
    """
    from persona_ray.inference.screening.categories import CategoryReader

    heard = Lineage.read(champion).customers()
    unheard = [dialogue for dialogue in test if dialogue.id not in heard]
    if len(unheard) < MIN_CUSTOMERS:
        raise RegistryError(
            f"{len(unheard)} of {len(test)} held-out dialogues are new to the champion, and "
            f"{MIN_CUSTOMERS} are needed: keep screening.category.salt and .test as they were"
        )
    readers = [CategoryReader.load(folder) for folder in (champion, bundle)]
    policy = config.screening.policy
    known = {name for reader in readers for name in reader.labels}
    labels = sorted({policy.name_of(name) for name in known | {d.category for d in unheard}})
    first, second = (_answers(reader, unheard, labels, policy) for reader in readers)
    return compare_paired(first, second, labels)


def is_better(paired: Paired) -> bool:
    """Beyond noise."""
    bounds = paired.deciding.difference.interval
    return bounds is not None and bounds[0] > 0


def _answers(
    reader: CategoryReader, test: Sequence[Dialogue], labels: Sequence[str], policy: PolicyConfig
) -> list[Prediction]:
    from persona_ray.inference.screening.categories import in_policy

    names = {label: policy.name_of(label) for label in reader.labels}
    nothing = dict.fromkeys(labels, 0.0)
    return [
        Prediction(
            row.clip_id,
            row.customer_id,
            policy.name_of(row.label),
            nothing | in_policy(row.probabilities, names),
        )
        for turns in (1, ALL)
        for row in predictions(test, reader.probabilities, turns)
    ]


def _told(paired: Paired, before: Version) -> str:
    figure = paired.deciding
    bounds = figure.difference.interval
    spread = "" if bounds is None else f" ({bounds[0]:+.3f} to {bounds[1]:+.3f})"
    return (
        f"{_DECIDES}: {figure.difference.value:+.3f}{spread} against {before}, over "
        f"{paired.customers} held-out dialogues"
    )
