"""A trained model becomes a version by itself; champion where it is better than the champion."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from persona_ray.config import RunConfig
from persona_ray.errors import PersonaRayError, RegistryError
from persona_ray.evaluation.paired import MIN_CUSTOMERS
from persona_ray.launch.tracking.runs import OFF
from persona_ray.launch.versions.records import JUDGEMENT, Action, Alias, Change
from persona_ray.launch.versions.registry import Registry
from persona_ray.models.lineage import Lineage

if TYPE_CHECKING:
    from persona_ray.evaluation.paired import Paired
    from persona_ray.launch.versions.records import Version

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Comparison:
    """`paired`: the champion first; `of` says what its deciding figure is of, and `over` what it
    was judged by ("held-out dialogues")."""

    paired: Paired
    of: str
    over: str

    @property
    def better(self) -> bool:
        """Beyond noise: the whole 95 % interval of the difference lies above 0."""
        bounds = self.paired.deciding.difference.interval
        return bounds is not None and bounds[0] > 0

    def told(self, before: Version) -> str:
        """In words."""
        difference = self.paired.deciding.difference
        bounds = difference.interval
        spread = "" if bounds is None else f" ({bounds[0]:+.3f} to {bounds[1]:+.3f})"
        return (
            f"{self.of}: {difference.value:+.3f}{spread} against {before}, over "
            f"{self.paired.customers} {self.over}"
        )


def register(
    config: RunConfig,
    name: str,
    bundle: Path,
    run_id: str,
    compare: Callable[[Path], Comparison],
    force: bool,
) -> tuple[str, str]:
    """The address of the version of model `name` with its aliases (empty where it has none), and
    why it is champion or not.

    The first version becomes champion. A later one does where `compare`, given the champion's
    bundle, finds it better; with `force` whatever comes out; else it is challenger.
    """
    if config.tracking.url == OFF or not config.tracking.challenger:
        return "", ""
    try:
        registry = Registry.open(config, name)
        version = registry.register(bundle, run_id)
        before = registry.holder(Alias.CHAMPION)
        why = ""
        if before is None or before.number != version.number:
            why = _placed(registry, version, before, compare, force)
        version = registry.find(str(version.number))
    except PersonaRayError as error:
        # It lies in the workspace: a registry that fails now costs nothing but a command later.
        logging.getLogger(__name__).warning("%s: the bundle is not registered", error)
        return "", ""
    return f"{version.uri} ({', '.join(version.aliases)})", why


def unheard(champion: Path, test: Sequence[T], customer: Callable[[T], str], what: str) -> list[T]:
    """Those of `test` whose customer the champion has not learnt from. Raises RegistryError, with
    `what` in its words, where they are of too few."""
    heard = Lineage.read(champion).customers()
    left = [one for one in test if customer(one) not in heard]
    customers = {customer(one) for one in left}
    if len(customers) < MIN_CUSTOMERS:
        every = {customer(one) for one in test}
        raise RegistryError(
            f"{len(customers)} of {len(every)} {what} are new to the champion, and "
            f"{MIN_CUSTOMERS} are needed: keep the salt and the share of test as they were"
        )
    return left


def _placed(
    registry: Registry,
    version: Version,
    before: Version | None,
    compare: Callable[[Path], Comparison],
    force: bool,
) -> str:
    """Champion or challenger; the reason in words."""
    decision, why = "first", "the first version"
    if before is not None:
        try:
            comparison = compare(registry.fetch(before))
            better, why = comparison.better, comparison.told(before)
        except PersonaRayError as error:
            better, why = False, f"not compared with {before}: {error}"
        decision = "better" if better else "forced" if force else ""
    if not decision:
        registry.point(Alias.CHALLENGER, version)
        return f"{why}; --promote makes it champion all the same"
    crown(registry, version, before, {"decision": decision, "reason": why})
    return why


def crown(
    registry: Registry, version: Version, before: Version | None, details: Mapping[str, Any]
) -> None:
    """Make `version` champion after `before`; `details` stand in the history."""
    now = datetime.now(UTC)
    registry.record(Change(Action.PROMOTE, _number(before), version.number, now, details))
    registry.point(Alias.CHAMPION, version)
    if Alias.CHALLENGER in version.aliases:
        registry.release(Alias.CHALLENGER)


def note_judgement(
    registry: Registry, version: Version, before: Version | None, details: Mapping[str, Any]
) -> None:
    """Keep with `version` how it was judged against the champion `before`."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    judgement = {"at": at, "against": _number(before), **details}
    registry.note(version, JUDGEMENT, json.dumps(judgement, ensure_ascii=False))


def _number(version: Version | None) -> int | None:
    return None if version is None else version.number
