"""A new ranker answers in place of the champion where the log says that it does better."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.evaluation.paired import MIN_CUSTOMERS
from persona_ray.evaluation.release import Earned, ReleaseReport, decide
from persona_ray.inference.assist.ranking import Bm25Ranker, TowerRanker
from persona_ray.launch.assist.estimates import Estimates, estimate
from persona_ray.launch.assist.feedback_data import split_of_person
from persona_ray.launch.versions.records import Alias
from persona_ray.launch.versions.succession import crown, note_judgement
from persona_ray.types import Split

if TYPE_CHECKING:
    from persona_ray.config.assist import AssistConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.ranking import ScriptRanker
    from persona_ray.launch.assist.feedback_data import JudgedPush
    from persona_ray.launch.versions.records import Version
    from persona_ray.launch.versions.registry import Registry


@dataclass(frozen=True, slots=True)
class Champion:
    """The ranker that answers: `version` None where it is BM25, as none was released yet. `heard`:
    the customers that it learnt from."""

    ranker: ScriptRanker
    version: Version | None
    heard: frozenset[str]

    @property
    def name(self) -> str:
        return self.ranker.name if self.version is None else self.version.uri


def champion_of(registry: Registry) -> Champion:
    """Raises RegistryError, BundleError."""
    version = registry.holder(Alias.CHAMPION)
    if version is None:
        return Champion(Bm25Ranker(), None, frozenset())
    ranker = TowerRanker.load(registry.fetch(version), version.uri)
    return Champion(ranker, version, frozenset(registry.lineage(version).customers()))


def judge(
    pushes: Sequence[JudgedPush],
    champion: Champion,
    new: ScriptRanker,
    library: ScriptLibrary,
    learned: Mapping[str, int],
    config: AssistConfig,
) -> ReleaseReport:
    """`pushes` of all customers: those of customers held out judge, the others teach the model of
    rewards. `new` has learnt from no customer held out; `learned` says from what, for the report.
    """
    rules = config.retraining
    held_out, elsewhere = _parted(pushes, champion.heard, config)
    judged = sorted(held_out, key=lambda push: push.at)[-rules.most_samples :]
    customers = len({push.person for push in judged})
    accepted: Earned | None = None
    mood: Earned | None = None
    if len(judged) >= rules.least_samples and customers >= MIN_CUSTOMERS:
        found = estimate(judged, elsewhere, (champion.ranker, new), config)
        accepted, mood = map(_earned, found)
    decision, why = decide(len(judged), customers, accepted, mood, rules)
    return ReleaseReport(
        champion=champion.name,
        new=new.name,
        library=f"{library.name} {library.version}",
        pushes=len(judged),
        customers=customers,
        learned=dict(learned),
        accepted=accepted,
        mood=mood,
        decision=decision,
        why=why,
    )


def release(
    registry: Registry,
    bundle: Path,
    run_id: str,
    champion: Champion,
    report: ReleaseReport,
    texts: Mapping[str, str],
) -> Version:
    """Register the bundle, with `texts` beside it: champion where the report releases it, else
    challenger. The same bundle is one version, so that a run that was broken off may be done again.
    """
    version = registry.register(bundle, run_id)
    details: dict[str, Any] = {"decision": report.decision, "reason": report.why}
    before = champion.version
    note_judgement(registry, version, before, details)
    registry.keep(version, texts, _figures(report))
    if before is not None and before.number == version.number:
        return version
    if report.released:
        crown(registry, version, before, details)
    else:
        registry.point(Alias.CHALLENGER, version)
    return registry.find(str(version.number))


def _parted(
    pushes: Sequence[JudgedPush], heard: Collection[str], config: AssistConfig
) -> tuple[list[JudgedPush], list[JudgedPush]]:
    """Those that judge, and the others. Whom the champion has heard judges nobody, as the share of
    customers held out may have been another then."""
    held_out: list[JudgedPush] = []
    elsewhere: list[JudgedPush] = []
    for push in pushes:
        if split_of_person(push.person, config) is not Split.TEST:
            elsewhere.append(push)
        elif push.person not in heard:
            held_out.append(push)
    return held_out, elsewhere


def _earned(found: Estimates) -> Earned:
    return Earned(champion=found.champion, new=found.new, gain=found.gain)


def _figures(report: ReleaseReport) -> dict[str, float]:
    parts = {"accepted": report.accepted, "mood": report.mood}
    return {
        f"release_{name}_{kind}": estimate.value
        for name, part in parts.items()
        if part is not None
        for kind, estimate in (("new", part.new.doubly_robust), ("gain", part.gain))
    }
