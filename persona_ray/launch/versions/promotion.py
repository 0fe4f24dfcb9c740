"""Who is champion: promotion after a comparison, and the way back."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.config import RunConfig
from persona_ray.errors import BundleError, PersonaRayError, PromotionError, RegistryError
from persona_ray.launch.tracking.runs import OFF
from persona_ray.launch.versions.paired import BundleComparison, compare_bundles
from persona_ray.launch.versions.records import (
    ROLLED_BACK,
    SCHEME,
    Action,
    Alias,
    Change,
    Version,
    champions_before,
)
from persona_ray.launch.versions.registry import Registry, resolve_bundle
from persona_ray.launch.versions.succession import crown, note_judgement
from persona_ray.progress import Progress

if TYPE_CHECKING:
    from persona_ray.evaluation.paired import Figure


class Decision(StrEnum):
    """What became of a promotion."""

    FIRST = "first"
    NOT_WORSE = "not worse"
    FORCED = "forced"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Promotion:
    """`version` is champion now, and `before` was. `comparison`: the figures, or why there are
    none."""

    version: Version
    before: Version | None
    decision: Decision
    comparison: BundleComparison | str
    reason: str

    def __str__(self) -> str:
        lines = [f"{self.version} is champion ({self.decision})"]
        if isinstance(self.comparison, BundleComparison):
            lines += [deciding(self.comparison), *self.comparison.notes]
        elif self.comparison:
            lines.append(f"not compared: {self.comparison}")
        if self.version.forgotten:
            lines.append(
                f"warning: it learned of {self.version.forgotten} customers who were forgotten "
                "since: train anew, and promote that"
            )
        if self.before is not None:
            lines.append(f"before: {self.before}; `persona-ray models rollback` puts it back")
        return "\n".join(lines)


def promote(
    config: RunConfig, reference: str, progress: Progress, force: bool = False, reason: str = ""
) -> Promotion:
    """Make the version `reference` (a number or an alias) champion, if it is not worse.

    It is compared with the champion by `compare_bundles`; the first champion is not. `force` with
    a `reason` promotes it whatever the comparison says, or where there can be none; the reason is
    recorded. Raises PromotionError for a worse one, RegistryError where it cannot be compared.
    """
    reason = reason.strip()
    if force and not reason:
        raise RegistryError("--force needs --reason: it is kept with the version")
    registry = Registry.open(config)
    version = registry.find(reference)
    before = registry.holder(Alias.CHAMPION)
    if before is not None and before.number == version.number:
        raise RegistryError(f"{version} is the champion already")
    # A damaged bundle is nobody's champion, forced or not.
    folder = registry.fetch(version)
    comparison: BundleComparison | str = ""
    if before is not None:
        try:
            former = f"the champion ({before})", registry.fetch(before)
            comparison = compare_bundles(config, former, (str(version), folder), progress)
        except PersonaRayError as error:
            if not force:
                raise
            comparison = str(error)
    decision = _decide(before, comparison, force)
    details = _details(decision, comparison, reason)
    note_judgement(registry, version, before, details)
    if decision is Decision.REFUSED and isinstance(comparison, BundleComparison):
        raise PromotionError(
            f"{version} is worse than the champion ({before}) beyond noise: "
            f"{deciding(comparison)} over {comparison.paired.customers} held-out customers; train "
            "a better one, or promote it all the same with --force --reason '...'"
        )
    crown(registry, version, before, details)
    return Promotion(version, before, decision, comparison, reason)


def rollback(config: RunConfig, reason: str = "") -> tuple[Version, Version]:
    """Make the champion before the present one champion again: (the new one, the one left).

    Raises RegistryError where there was none, BundleError where its bundle is damaged.
    """
    registry = Registry.open(config)
    left = registry.find(Alias.CHAMPION)
    there = {version.number: version for version in registry.versions()}
    line = champions_before(left.number, registry.history())
    former = next((there[number] for number in line if number in there), None)
    if former is None:
        raise RegistryError(
            f"no champion before {left} is known: `persona-ray models promote VERSION` makes "
            "another version champion"
        )
    registry.fetch(former)
    now = datetime.now(UTC)
    details = {"reason": reason.strip()}
    registry.record(Change(Action.ROLLBACK, left.number, former.number, now, details))
    registry.point(Alias.CHAMPION, former)
    note = {"at": now.isoformat(timespec="seconds"), "to": former.number, **details}
    registry.note(left, ROLLED_BACK, json.dumps(note, ensure_ascii=False))
    return former, left


def compare(config: RunConfig, first: str, second: str, progress: Progress) -> BundleComparison:
    """Two bundles, each a version's number, an alias, a models:/ URI, or a folder."""
    named = [
        (f"version {name}" if name.isdigit() else name, bundle_folder(config, name))
        for name in (first, second)
    ]
    return compare_bundles(config, named[0], named[1], progress)


def bundle_folder(config: RunConfig, reference: str) -> Path:
    """Of a folder, a models:/ URI, a version's number or an alias. Raises BundleError for what
    looks like a folder and is none, RegistryError for no version."""
    path = Path(reference)
    if reference.startswith(SCHEME):
        return resolve_bundle(config, reference)
    if path.is_dir():
        return path
    if "/" in reference:
        raise BundleError(f"{reference} is no folder: name a bundle, a version or an alias")
    registry = Registry.open(config)
    return registry.fetch(registry.find(reference))


def register(config: RunConfig, bundle: Path, run_id: str = "") -> Version:
    """Make a bundle a version with the alias challenger, unless it is champion."""
    registry = Registry.open(config)
    version = registry.register(bundle, run_id)
    if Alias.CHAMPION not in version.aliases:
        registry.point(Alias.CHALLENGER, version)
    return registry.find(str(version.number))


def register_challenger(config: RunConfig, run_id: str) -> str:
    """Register the workspace's bundle, just trained, where `tracking` says so; its address, or
    empty. It lies in the workspace: a registry that fails now costs nothing but a command later."""
    if config.tracking.url == OFF or not config.tracking.challenger:
        return ""
    try:
        version = register(config, config.bundle_dir, run_id)
    except PersonaRayError as error:
        logging.getLogger(__name__).warning(
            "%s: the bundle is not registered; `persona-ray models register` does it later", error
        )
        return ""
    return f"{version.uri} ({', '.join(version.aliases)})"


def deciding(comparison: BundleComparison) -> str:
    """The figure that decides, in a line."""
    figure: Figure = comparison.paired.deciding
    text = f"{figure.name} {figure.second:.1%} against {figure.first:.1%}"
    if figure.difference.interval is None:
        return text
    low, high = figure.difference.interval
    return (
        f"{text}, difference {100 * figure.difference.value:+.1f} points "
        f"(95 % interval {100 * low:+.1f} to {100 * high:+.1f})"
    )


def _decide(before: Version | None, comparison: BundleComparison | str, force: bool) -> Decision:
    if before is None:
        return Decision.FIRST
    if isinstance(comparison, str):
        return Decision.FORCED
    if not comparison.paired.second_is_worse:
        return Decision.NOT_WORSE
    return Decision.FORCED if force else Decision.REFUSED


def _details(
    decision: Decision, comparison: BundleComparison | str, reason: str
) -> Mapping[str, Any]:
    """For the record: of what, how much, how sure."""
    details: dict[str, Any] = {"decision": decision, "reason": reason}
    if isinstance(comparison, str):
        return details | ({"not_compared": comparison} if comparison else {})
    figure = comparison.paired.deciding
    return details | {
        "statistic": f"difference of {figure.name}, held-out customers, paired bootstrap",
        "champion": figure.first,
        "version": figure.second,
        "difference": figure.difference.value,
        "interval": figure.difference.interval,
        "customers": comparison.paired.customers,
        "clips": comparison.paired.clips,
        "excluded_customers": len(comparison.excluded),
    }
