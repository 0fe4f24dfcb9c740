"""Feedback, retraining, release: ten rounds with simulated customers and agents.

    python -m benchmarks.assist_loop --rounds 10 --calls 70

Customers say, feel and take what `persona_ray/synth/assist` plants; suggestions, feedback, store,
retraining, registry and the gate are the product's. Each round: calls are held, with what answers;
the ranker is trained anew on all feedback, judged by the log, released or not. What a round's
ranker was estimated to earn stands beside what then happened. At the end one is made worse on
purpose, by inverting what every script is worth, and judged by the same log.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.assist_calls import Floor, Round
from benchmarks.shared import described
from persona_ray.config import load_config
from persona_ray.evaluation.bootstrap import draws, share
from persona_ray.inference.assist.library import load_library, make_library, write_library
from persona_ray.launch.assist.feedback_data import judged_pushes
from persona_ray.launch.assist.ranker import BUNDLE, FOLDER, learn, read_samples, write
from persona_ray.launch.assist.release import champion_of, judge
from persona_ray.launch.assist.retrain import Retrained, retrain
from persona_ray.launch.versions.records import Alias
from persona_ray.launch.versions.registry import Registry
from persona_ray.progress import SilentProgress
from persona_ray.store import open_store
from persona_ray.synth.assist.composing import compose
from persona_ray.synth.assist.world import World
from persona_ray.synth.assist.writing import write_planted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from persona_ray.config import RunConfig
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.evaluation.bootstrap import Estimate
    from persona_ray.inference.assist.ranking import ScriptRanker
    from persona_ray.inference.assist.records import SpeechInformation

SEED = 7


@dataclass(frozen=True, slots=True)
class Row:
    """One round: who answered, what it earned and what that had been estimated to be (None: the
    first), and what became of the ranker that was trained on it."""

    answered: str
    earned: Estimate
    pushes: int
    told: Estimate | None
    decision: str
    why: str

    @property
    def inside(self) -> bool:
        bounds = None if self.told is None else self.told.interval
        return bounds is not None and bounds[0] <= self.earned.value <= bounds[1]


class Inverted:
    """A ranker made worse on purpose: what fits best is put last."""

    def __init__(self, ranker: ScriptRanker) -> None:
        self._ranker = ranker
        self.name = f"inverted {ranker.name}"

    def targets(
        self, information: SpeechInformation, library: ScriptLibrary
    ) -> Mapping[str, float]:
        return {name: -fit for name, fit in self._ranker.targets(information, library).items()}


def configured(workspace: Path, changes: list[str]) -> RunConfig:
    return load_config(
        None,
        [
            f"workspace={workspace}",
            f"assist.library={workspace / 'scripts.yaml'}",
            f"assist.ranker.conversations=[{workspace / 'first.jsonl'}]",
            "launch.backend=plain",
            "launch.cpus_per_worker=1",
            # Something is put up for every sentence: else shares would grow with silence.
            "assist.choice.least=-20",
            # Without the published sentence encoder: the rounds are about feedback.
            "assist.ranker.meaning=false",
            "assist.ranker.epochs=10",
            "assist.retraining.most_samples=800",
            *changes,
        ],
    )


def one_product(config: RunConfig) -> tuple[World, ScriptLibrary]:
    """Calls on one product alone, so that some thousand pushes are enough to learn from."""
    whole = load_library("", config.assist.steps)
    world = World(whole.scripts)
    world.products = world.products[:1]
    mine = [one for one in whole.scripts.values() if one.product in ("", *world.products)]
    library = make_library("one product", "1", mine)
    write_library(library, Path(config.assist.library))
    return world, library


def begin(config: RunConfig, world: World, library: ScriptLibrary, conversations: int) -> None:
    """The first champion: trained on a few conversations of agents without help."""
    (first,) = config.assist.ranker.conversations
    write_planted(compose(world, conversations, SEED, "first"), Path(first))
    samples = read_samples(config)
    bundle = config.workspace / FOLDER / BUNDLE
    bundle.parent.mkdir(parents=True)
    write(config, learn(config, samples, library), samples, library, bundle)
    registry = Registry.open(config, config.assist.ranker.name)
    registry.point(Alias.CHAMPION, registry.register(bundle))


def earned(held: Round) -> Estimate:
    """The share of pushes that were accepted, with its interval by customer."""
    import numpy as np

    names, group = np.unique(held.customers, return_inverse=True)
    parts = np.bincount(group, weights=np.array(held.accepted, dtype=float))
    wholes = np.bincount(group).astype(np.float64)
    found = share(parts.astype(np.float64), wholes, draws(len(names), 2000))
    assert found is not None
    return found


def simulate(
    config: RunConfig, rounds: int, calls: int, conversations: int
) -> tuple[list[Row], str]:
    """The rounds, and why the inverted ranker is not released."""
    world, library = one_product(config)
    begin(config, world, library, conversations)
    rows: list[Row] = []
    began = datetime.now(UTC) - timedelta(days=30)
    with open_store(config.store_url) as store:
        floor = Floor(store, world, library, config.assist, began, SEED)
        told: Estimate | None = None
        for _ in range(rounds):
            started = time.perf_counter()
            registry = Registry.open(config, config.assist.ranker.name)
            champion = champion_of(registry)
            held = floor.hold(calls, champion.ranker)
            floored = time.perf_counter()
            result = retrain(config, SilentProgress())
            assert isinstance(result, Retrained)
            report = result.report
            rows.append(
                Row(champion.name, earned(held), len(held.accepted), told, report.decision,
                    report.why)
            )  # fmt: skip
            told = None
            if report.accepted is not None:
                side = report.accepted.new if report.released else report.accepted.champion
                told = side.doubly_robust
            took = time.perf_counter()
            print(f"{rows[-1]} {floored - started:.0f} s, {took - floored:.0f} s", file=sys.stderr)
        champion = champion_of(Registry.open(config, config.assist.ranker.name))
        pushes = judged_pushes(config.assist, store, datetime.now(UTC))
        worse = judge(pushes, champion, Inverted(champion.ranker), library, {}, config.assist)
    return rows, f"{worse.decision}: {worse.why}"


def _told(estimate: Estimate | None) -> str:
    if estimate is None or estimate.interval is None:
        return "–"
    low, high = estimate.interval
    return f"{estimate.value:.1%} ({low:.1%} to {high:.1%})"


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--calls", type=int, default=70, help="of a round")
    parser.add_argument("--conversations", type=int, default=30, help="before the first round")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", dest="overrides")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = configured(Path(folder), arguments.overrides)
        rows, worse = simulate(config, arguments.rounds, arguments.calls, arguments.conversations)
    print("| round | pushes | accepted | estimated before | inside | trained on it |")
    print("|---|---|---|---|---|---|")
    for number, row in enumerate(rows, 1):
        inside = "–" if row.told is None else "yes" if row.inside else "no"
        print(
            f"| {number} | {row.pushes} | {_told(row.earned)} | {_told(row.told)} | {inside} | "
            f"{row.decision}: {row.why} |"
        )
    judged = [row for row in rows if row.told is not None]
    print(f"{sum(row.inside for row in judged)} of {len(judged)} inside")
    print(f"made worse on purpose: {worse}")


if __name__ == "__main__":
    main()
