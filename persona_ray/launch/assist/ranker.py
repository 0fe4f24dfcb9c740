"""Conversations and what came of them -> the ranker of scripts: bundle, report, a version."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config import RunConfig
from persona_ray.corpus.conversations import by_split, fingerprint, read_conversations
from persona_ray.errors import ConfigError, TrainingError
from persona_ray.evaluation.ranking import RankerReport
from persona_ray.inference.assist.library import load_library
from persona_ray.launch.assist.asked import AskedTurn, asked_turns, pairs_of, replies_of
from persona_ray.launch.assist.judging import best_scores, judged_turns
from persona_ray.launch.assist.ranker_report import judge
from persona_ray.launch.journal import journalled
from persona_ray.launch.storage.copies import copied
from persona_ray.launch.text_model import with_files
from persona_ray.launch.tracking.runs import check_tracking, tracked
from persona_ray.launch.versions.registry import resolve_bundle
from persona_ray.launch.watching import counted
from persona_ray.models.lineage import Heard, Lineage, Use
from persona_ray.progress import Progress
from persona_ray.types import Split

if TYPE_CHECKING:
    from pydantic import JsonValue

    from persona_ray.conversation import ScriptLibrary
    from persona_ray.inference.assist.records import Mood, Sentence
    from persona_ray.models.ranker.network import TwoTowers
    from persona_ray.models.ranker.records import Pair, Reply
    from persona_ray.training.ranker import RankerEpoch

STAGE = "ranker training"
# In the workspace.
FOLDER, BUNDLE, REPORT = "ranker", "bundle", "report.html"


@dataclass(frozen=True, slots=True)
class Samples:
    """What a ranker learns from: `pairs` of each split, and `turns`, of which an answer is known,
    to calibrate (dev) and to judge by (test). `replies`: free words of agents to train on, where
    `assist.ranker.replies` lets them teach."""

    pairs: Mapping[Split, Sequence[Pair]]
    turns: Mapping[Split, Sequence[AskedTurn]]
    data: str
    replies: Sequence[Reply] = ()

    def with_pairs(self, more: Mapping[Split, Sequence[Pair]], data: str) -> Samples:
        """With pairs from elsewhere (feedback), whose fingerprint is `data`."""
        pairs = {split: [*self.pairs[split], *more.get(split, ())] for split in Split}
        digest = hashlib.sha256(f"{self.data} {data}".encode()).hexdigest()
        return replace(self, pairs=pairs, data=digest)


@dataclass(frozen=True, slots=True)
class Learned:
    """A ranker that was just trained, not yet written."""

    model: TwoTowers
    epochs: tuple[RankerEpoch, ...]
    calibration: tuple[float, float]


@dataclass(frozen=True, slots=True)
class RankerResult:
    """`registered` is the bundle's address in the registry, empty where it has none; `why` it is
    champion or not."""

    bundle_dir: Path
    report: RankerReport
    report_path: Path
    registered: str = ""
    why: str = ""

    def __str__(self) -> str:
        lines = [f"{name}: {count}" for name, count in self.report.counts.items()]
        for table in self.report.tables:
            lines.append(f"{table.of}:")
            lines += [
                f"  {row.name:24}first {row.first.value:.1%}, "
                f"first three {row.three.value:.1%}, reciprocal rank {row.reciprocal.value:.3f}"
                for row in table.rows
            ]
        if self.registered:
            lines.append(f"registered: {self.registered}{self.why and f': {self.why}'}")
        return "\n".join([*lines, f"report: {self.report_path}", f"bundle: {self.bundle_dir}"])


def with_conversations(
    config: RunConfig, files: Sequence[Path], judged: Sequence[Path] = ()
) -> RunConfig:
    """`config` that trains on `files` and judges by `judged`, too, where any are given."""
    keys = {"assist.ranker.conversations": files, "assist.ranker.judged_by": judged}
    return with_files(config, keys)


@copied("ranker", needs=("emotion",))
def train_ranker(
    config: RunConfig,
    progress: Progress,
    *,
    promote: bool = False,
) -> RankerResult:
    """Train on `assist.ranker.conversations`, judge on customers held out and on
    `assist.ranker.judged_by`, write and register.

    Emotions are read by `assist.emotion.bundle`, as in calls, or else taken as labelled. The first
    version that is registered becomes champion, later ones where they are better than the champion,
    or with `promote`. Raises ConfigError, CorpusError, LibraryError, BundleError, TrainingError.
    """
    if not config.assist.ranker.conversations:
        raise ConfigError(
            "assist.ranker.conversations names no file of conversations: give one with "
            "--conversations FILE (JSON lines; `persona-ray synth conversations` makes some)"
        )
    with journalled(config, STAGE), counted(config, STAGE, progress) as job:
        return _train(config, job, promote)


def mood_reader(config: RunConfig) -> Callable[[Sentence], Mood] | None:
    """The emotion model of `assist.emotion.bundle` with the lexicon, None where none is named.
    Raises BundleError, RegistryError."""
    from persona_ray.inference.assist.emotion.combine import MoodReader, Weights
    from persona_ray.inference.assist.emotion.lexicon import load_lexicon
    from persona_ray.inference.assist.emotion.model import EmotionReader

    emotion = config.assist.emotion
    if not emotion.bundle:
        return None
    model = EmotionReader.load(resolve_bundle(config, emotion.bundle))
    return MoodReader(load_lexicon(emotion.lexicon), model, Weights(emotion.lexicon_weight)).mood


def _train(config: RunConfig, progress: Progress, promote: bool) -> RankerResult:
    from persona_ray.launch.assist.ranker_promotion import register

    check_tracking(config)
    section = config.assist.ranker
    library = load_library(config.assist.library, config.assist.steps)
    mood = mood_reader(config)
    samples = read_samples(config, mood)
    started = time.perf_counter()
    folder = config.workspace / "training" / f"ranker-{samples.data[:16]}"
    with (
        tracked(config, STAGE, folder, {"ranker": section}, {"data": samples.data}) as tracker,
        progress.stage(STAGE, total=section.epochs) as stage,
    ):

        def tell(epoch: RankerEpoch) -> None:
            stage.advance(1, loss=epoch.contrastive)
            tracker.metrics(
                epoch.number, {"loss": epoch.contrastive, "outcome_loss": epoch.outcome}
            )

        learned = learn(config, samples, library, tell)
        seconds = time.perf_counter() - started
        bundle = config.workspace / FOLDER / BUNDLE
        write(config, learned, samples, library, bundle)
        report = judge(config, bundle, samples, library, _others(config, mood), seconds, learned)
        page = _written(report, config.workspace / FOLDER / REPORT)
        tracker.text("ranker.html", page.read_text(encoding="utf-8"))
        tracker.text("ranker.json", report.model_dump_json(indent=1))
    test = samples.turns[Split.TEST]
    registered, why = register(config, bundle, test, library, tracker.run_id, promote)
    return RankerResult(bundle, report, page, registered, why)


def read_samples(config: RunConfig, mood: Callable[[Sentence], Mood] | None = None) -> Samples:
    """Of `assist.ranker.conversations`, dealt by customer."""
    section = config.assist.ranker
    conversations = read_conversations([Path(name) for name in section.conversations])
    dealt = by_split(conversations, section.test, section.dev, section.salt)
    asked = {split: list(asked_turns(part, mood)) for split, part in dealt.items()}
    threshold = config.assist.feedback.threshold
    return Samples(
        pairs={split: pairs_of(turns) for split, turns in asked.items()},
        turns={split: judged_turns(turns, threshold) for split, turns in asked.items()},
        data=fingerprint(conversations),
        replies=replies_of(asked[Split.TRAIN]) if section.replies else (),
    )


def learn(
    config: RunConfig,
    samples: Samples,
    library: ScriptLibrary,
    tell: Callable[[RankerEpoch], None] = lambda _: None,
) -> Learned:
    """Train on the pairs of train, stop by those of dev, calibrate on the turns of dev. Raises
    TrainingError."""
    from persona_ray.launch.workers.plain import torch_threads
    from persona_ray.models.ranker.records import item_of
    from persona_ray.training.ranker import fit_ranker

    items = [item_of(script) for script in library.scripts.values()]
    pairs, threshold = samples.pairs, config.assist.feedback.threshold
    with torch_threads(max(1, int(config.launch.cpus_per_worker))):
        model, epochs = fit_ranker(
            pairs[Split.TRAIN],
            pairs[Split.DEV],
            items,
            config.assist.ranker,
            threshold,
            tell,
            samples.replies,
        )
        calibration = _calibrated(model, samples.turns[Split.DEV], library, threshold)
    return Learned(model, epochs, calibration)


def write(
    config: RunConfig, learned: Learned, samples: Samples, library: ScriptLibrary, bundle: Path
) -> None:
    """The bundle's folder, whole or not at all. Raises BundleError."""
    from persona_ray.models.ranker.bundle import ranker_contract, save_ranker

    last = learned.epochs[-1]
    metrics = {"loss": last.contrastive, "outcome_loss": last.outcome}
    section = config.assist.ranker
    described: dict[str, JsonValue] = {
        "ranker": section.model_dump(mode="json", exclude={"conversations", "judged_by", "bundle"}),
        "threshold": config.assist.feedback.threshold,
        "library": f"{library.name} {library.version} {library.digest}",
    }
    contract = ranker_contract(learned.model, learned.calibration, samples.data, metrics, described)
    uses = {Split.TRAIN: Use.TRAIN, Split.DEV: Use.DEV}
    heard = [
        Heard(f"{pair.customer}/{number}", pair.customer, use, pair.key)
        for split, use in uses.items()
        for number, pair in enumerate(samples.pairs[split])
    ]
    heard += [
        Heard(f"{reply.customer}/reply {number}", reply.customer, Use.TRAIN)
        for number, reply in enumerate(samples.replies)
    ]
    save_ranker(learned.model, bundle, contract, Lineage.of(heard))


def _calibrated(
    model: TwoTowers, turns: Sequence[AskedTurn], library: ScriptLibrary, threshold: float
) -> tuple[float, float]:
    """Slope and offset of the log-odds that a score is that of a script that fits (Platt 1999):
    the best score of each turn, against the best once the scripts that fit are taken out."""
    from sklearn.linear_model import LogisticRegression

    from persona_ray.inference.assist.ranking import TowerRanker
    from persona_ray.models.ranker.bundle import ranker_contract

    plain = TowerRanker(model, ranker_contract(model, (1.0, 0.0), "", {}, {}), "untried")
    pairs = best_scores(plain.targets, turns, library, threshold)
    rows = [
        (score, label)
        for pair in pairs
        for score, label in zip(pair, (1, 0), strict=True)
        if score > float("-inf")
    ]
    if {label for _, label in rows} != {0, 1}:
        raise TrainingError(
            "the dev part has no turn whose answer is known and in the library: give more "
            "conversations, or change assist.ranker.salt"
        )
    fitted = LogisticRegression(C=100.0).fit([[row[0]] for row in rows], [row[1] for row in rows])
    slope, offset = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        raise TrainingError(
            "scripts that fit score no higher than others: the conversations teach nothing; look "
            "at their scores"
        )
    return slope, offset


def _others(config: RunConfig, mood: Callable[[Sentence], Mood] | None) -> Sequence[AskedTurn]:
    files = [Path(name) for name in config.assist.ranker.judged_by]
    if not files:
        return []
    turns = asked_turns(read_conversations(files), mood)
    return judged_turns(turns, config.assist.feedback.threshold)


def _written(report: RankerReport, path: Path) -> Path:
    from persona_ray.evaluation.report.ranking import write_ranking

    return write_ranking(report, path)
