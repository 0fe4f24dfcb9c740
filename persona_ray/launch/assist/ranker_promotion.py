"""A trained ranker becomes a version; champion where it ranks better than the champion."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.evaluation.ranking import compare_ranking
from persona_ray.inference.assist.ranking import TowerRanker
from persona_ray.launch.assist.judging import ranked_by
from persona_ray.launch.versions import succession
from persona_ray.launch.versions.succession import Comparison, unheard

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.launch.assist.asked import AskedTurn

_DECIDES = "share of turns with a fitting script among the first three"


def register(
    config: RunConfig,
    bundle: Path,
    test: Sequence[AskedTurn],
    library: ScriptLibrary,
    run_id: str,
    force: bool,
) -> tuple[str, str]:
    """As `succession.register`, judged by the turns `test`."""

    def against(champion: Path) -> Comparison:
        return compare(config, champion, bundle, test, library)

    name = config.assist.ranker.name
    return succession.register(config, name, bundle, run_id, against, force)


def compare(
    config: RunConfig,
    champion: Path,
    bundle: Path,
    test: Sequence[AskedTurn],
    library: ScriptLibrary,
) -> Comparison:
    """The champion's bundle (first) and another on the turns of `test` whose customers the champion
    has not learned from; the other one has learned from none of them.

    Raises RegistryError where too few are left, BundleError.
    """
    left = unheard(champion, test, lambda turn: turn.customer, "held-out customers")
    threshold = config.assist.feedback.threshold
    first, second = (
        ranked_by(TowerRanker.load(folder).targets, left, library, threshold)
        for folder in (champion, bundle)
    )
    return Comparison(compare_ranking(first, second), _DECIDES, "held-out customers")
