"""A trained ranker beside plainer ones, on the same turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.evaluation.ranking import (
    RankerReport,
    RankingRow,
    RankingTable,
    score_ranking,
)
from persona_ray.inference.assist.ranking import Bm25Ranker, TowerRanker
from persona_ray.launch.assist.judging import Targets, chosen_by, gaps, ranked_by, without
from persona_ray.types import Split

if TYPE_CHECKING:
    from persona_ray.conversation import ScriptLibrary
    from persona_ray.launch.assist.asked import AskedTurn
    from persona_ray.launch.assist.ranker import Learned, Samples
    from persona_ray.training.ranker import RankerEpoch

SHOWN, RANKED = "as shown to the agent", "ranker alone"
NO_COLOUR, NO_TONE, TEXT = "colour not known", "tone not known", "text alone, trained anew"
BM25 = "BM25"


def judge(
    config: RunConfig,
    bundle: Path,
    samples: Samples,
    library: ScriptLibrary,
    others: Sequence[AskedTurn],
    seconds: float,
    learned: Learned,
) -> RankerReport:
    """`others`: turns of `assist.ranker.judged_by`. Raises TrainingError where no turn is left to
    judge by."""
    ranker = TowerRanker.load(bundle, keep=True)
    plain = text_alone(config, samples, library)
    held_out = {
        "held-out customers": samples.turns[Split.TEST],
        "files that are judged alone": others,
    }
    parts = {name: turns for name, turns in held_out.items() if turns}
    tables = [
        RankingTable(of=name, rows=tuple(_rows(config, ranker, plain, turns, library)))
        for name, turns in parts.items()
    ]
    threshold, least = config.assist.feedback.threshold, config.assist.choice.least
    turns = [turn for part in parts.values() for turn in part]
    return RankerReport(
        counts={
            **{f"pairs to {split.value}": len(samples.pairs[split]) for split in Split},
            **({"replies without a script": len(samples.replies)} if samples.replies else {}),
            **{f"turns of {name}": len(part) for name, part in parts.items()},
            "scripts": len(library.scripts),
        },
        tables=tuple(tables),
        gaps=gaps(ranker.targets, turns, library, threshold, least, config.evaluation.bootstrap),
        epochs=tuple(_losses(epoch) for epoch in learned.epochs),
        library=f"{library.name} {library.version} {library.digest}",
        data_fingerprint=samples.data,
        seconds=seconds,
    )


def text_alone(config: RunConfig, samples: Samples, library: ScriptLibrary) -> Targets:
    """The same towers, trained and asked without a feature of sentence or script."""
    from persona_ray.launch.workers.plain import torch_threads
    from persona_ray.models.ranker.bundle import ranker_contract
    from persona_ray.models.ranker.records import item_of
    from persona_ray.training.ranker import fit_ranker

    items = [replace(item_of(script), features={}) for script in library.scripts.values()]
    pairs = {
        split: [replace(pair, query=replace(pair.query, features={})) for pair in part]
        for split, part in samples.pairs.items()
    }
    with torch_threads(max(1, int(config.launch.cpus_per_worker))):
        model, _ = fit_ranker(
            pairs[Split.TRAIN],
            pairs[Split.DEV],
            items,
            config.assist.ranker,
            config.assist.feedback.threshold,
            replies=samples.replies,
        )
    # Its columns are none, so that it reads no feature of what it is asked.
    contract = ranker_contract(model, (1.0, 0.0), "", {}, {})
    return TowerRanker(model, contract, "text alone").targets


def _rows(
    config: RunConfig,
    ranker: TowerRanker,
    plain: Targets,
    turns: Sequence[AskedTurn],
    library: ScriptLibrary,
) -> list[RankingRow]:
    threshold, resamples = config.assist.feedback.threshold, config.evaluation.bootstrap

    def blinded(*groups: str) -> Targets:
        blind = without(*groups)
        return lambda information, scripts: ranker.targets(blind(information), scripts)

    ways: Mapping[str, Targets] = {
        RANKED: ranker.targets,
        NO_COLOUR: blinded("colour"),
        NO_TONE: blinded("tone"),
        TEXT: plain,
        BM25: Bm25Ranker().targets,
    }
    shown = chosen_by(ranker, turns, library, threshold, config.assist.choice)
    return [
        score_ranking(SHOWN, shown, resamples),
        *(
            score_ranking(name, ranked_by(targets, turns, library, threshold), resamples)
            for name, targets in ways.items()
        ),
    ]


def _losses(epoch: RankerEpoch) -> tuple[float, float, float]:
    return epoch.contrastive, epoch.outcome, epoch.dev
