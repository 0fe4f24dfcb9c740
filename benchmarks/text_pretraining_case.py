"""What continued pretraining of text gives where few dialogues are labelled.

    python -m benchmarks.text_pretraining_case --data ../shared/data/teleantifraud

The 15 categories of the TeleAntiFraud dialogues (8 frauds, 7 services) are told from one opening
turn by the product's own fine-tuning of the small BERT, on dialogues held out by the hash of their
id. It starts from no pretraining, from masked whole words on as little text as the demo archive
has, and on much, with about the same number of updates: what differs is how much text was read.
All arms have one vocabulary, and no dialogue that opens word by word as a held-out one does is
read or labelled. What is held out stays, all else is drawn anew for every seed (what is labelled,
weights, masks, dropout). Character n-grams with logistic regression stand beside them.

Every seed and arm is one process with one thread; answers are kept in `--out`, so that a killed
run goes on. Figures are means over seeds, with the standard deviation over seeds; the last column
compares with no pretraining on the same dialogues (bootstrap over dialogues, 95 %).
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.dialogues import Dialogue, deal, dialogues, first_of_each
from benchmarks.shared import (
    arguments,
    as_row,
    finish_jobs,
    keep_rows,
    paired_gain,
    pretrained,
    right,
    spread,
)
from persona_ray.config import RunConfig, load_config
from persona_ray.evaluation.compare import Arm, Fold, FoldUnit, fit_and_predict
from persona_ray.evaluation.scores import Prediction, score_clips
from persona_ray.types import Modality, Split

if TYPE_CHECKING:
    from persona_ray.types import Samples

# In the place of those of the configuration. A step has some sixteen openings.
SETTINGS = (
    "model.modality=text",
    "pretraining.text.learning_rate=2e-3",
    "pretraining.text.checkpoint_updates=100000",
    "training.epochs=15",
    "training.frozen_epochs=5",
    "training.learning_rate=2e-3",
    "training.encoder_learning_rate=3e-4",
    "training.decay_rate=0.9",
    "training.batch_s=160",
)
# Two ways to fine-tune: with the demo's rates and epochs, and with larger steps for as long as it
# takes to learn the labelled dialogues by heart, which is kinder to an untrained encoder.
TUNINGS: dict[str, dict[str, float]] = {
    "demo's": {},
    "longer": {
        "epochs": 30,
        "learning_rate": 1e-3,
        "encoder_learning_rate": 1e-3,
        "decay_rate": 0.95,
        "batch_s": 80.0,
    },
}
N_GRAMS = "character n-grams"


@dataclass(frozen=True, slots=True)
class Amount:
    """What is read without labels: `dialogues`, `epochs` times over."""

    name: str
    dialogues: int
    epochs: int


@dataclass(frozen=True, slots=True)
class Job:
    """One seed from one start."""

    config: RunConfig
    data: Path
    held_out: int
    read: Amount
    most: int
    labelled: tuple[int, ...]
    seed: int

    @property
    def name(self) -> str:
        """Of all that the answers depend on."""
        parts = [self.config.model_dump_json(), TUNINGS, self.held_out, self.most, self.labelled]
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
        return f"{digest}-{self.read.dialogues}x{self.read.epochs}-seed-{self.seed}.json"


class NoAudio:
    """A source for examples that are read only."""

    sample_rate_hz = 8000

    def samples(self, clip_id: str) -> Samples:
        raise KeyError(clip_id)

    def digest(self, clip_id: str) -> str:
        raise KeyError(clip_id)


def run_job(job: Job, out: Path) -> float:
    """Pretrain, fine-tune, answer; seconds that it took."""
    import torch

    torch.set_num_threads(1)
    started = time.perf_counter()
    held_out, rest = deal(dialogues(job.data), job.held_out, f"{job.seed}")
    labels = sorted({dialogue.category for dialogue in held_out})
    tests = tuple(dialogue.example(Split.TEST) for dialogue in held_out)
    rows: list[dict[str, Any]] = []

    def keep(
        start: str, count: int, tuning: str, answers: Sequence[Prediction], **more: Any
    ) -> None:
        kept = [as_row(answer) for answer in answers]
        rows.append({"start": start, "labelled": count, "tuning": tuning, "answers": kept, **more})

    with tempfile.TemporaryDirectory() as scratch:
        config, masked = _start(job, rest, Path(scratch))
        for count in job.labelled:
            train = [d.example(Split.TRAIN) for d in first_of_each(rest, count)]
            fold = Fold(Arm(Modality.TEXT, FoldUnit.CUSTOMER), 0, tuple(train), tests)
            for tuning, changes in TUNINGS.items():
                training = config.training.model_copy(update=changes)
                answers, history = fit_and_predict(fold, config.model, training, labels, NoAudio())
                loss = history.last.loss
                keep(job.read.name, count, tuning, answers, loss=loss, masked_accuracy=masked)
            if not job.read.dialogues:
                keep(N_GRAMS, count, "", _n_grams(fold), loss=None, masked_accuracy=None)
    keep_rows(rows, out / job.name)
    return time.perf_counter() - started


def _start(job: Job, rest: Sequence[Dialogue], scratch: Path) -> tuple[RunConfig, float | None]:
    """The configuration with the text tower to fine-tune, and its share of right masked tokens.

    All arms start from the same weights and vocabulary: those of the largest.
    """
    import torch

    from persona_ray.models.pretrained import quiet
    from persona_ray.models.small import character_vocabulary
    from persona_ray.objectives.text_runs import text_tasks
    from persona_ray.objectives.text_start import SmallStart
    from persona_ray.training.pretrain.settings import PretrainSettings

    text = job.config.model.text
    known = [dialogue.turns for dialogue in rest[: job.most]]
    start = SmallStart(text.small, character_vocabulary(chain(*known)), text.max_tokens)
    torch.manual_seed(job.seed)
    model, _ = start.model(next_sentence=False)
    untrained = scratch / "untrained"
    with quiet():
        model.save_pretrained(untrained)
        start.tokenizer().save_pretrained(untrained)
    config = _seeded(job.config, job.seed, untrained)
    if not job.read.dialogues:
        return config, None
    section = config.pretraining.text.model_copy(update={"epochs": job.read.epochs})
    (named,) = text_tasks(config, known[: job.read.dialogues])
    curve = pretrained(
        named.task, PretrainSettings.of(section), config.engine, scratch, scratch / "trained"
    )
    return _seeded(config, job.seed, scratch / "trained"), curve.last.accuracy["masked"]


def _seeded(config: RunConfig, seed: int, path: Path) -> RunConfig:
    text = config.model.text.model_copy(update={"path": str(path)})
    masked = config.pretraining.text.model_copy(update={"seed": seed})
    return config.model_copy(
        update={
            "model": config.model.model_copy(update={"text": text}),
            "pretraining": config.pretraining.model_copy(update={"text": masked}),
            "training": config.training.model_copy(update={"seed": seed}),
        }
    )


def _n_grams(fold: Fold) -> list[Prediction]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 3), sublinear_tf=True)
    learned = grams.fit_transform([example.text for example in fold.train])
    # The strength hardly matters here: 1 and 100 give the same within the spread over seeds.
    regression = LogisticRegression(C=10.0, max_iter=2000)
    regression.fit(learned, [example.label for example in fold.train])
    rows = regression.predict_proba(grams.transform([example.text for example in fold.held_out]))
    names = [str(name) for name in regression.classes_]
    return [
        Prediction(e.clip_id, e.customer_id, e.label, dict(zip(names, row.tolist(), strict=True)))
        for e, row in zip(fold.held_out, rows, strict=True)
    ]


def table(jobs: Sequence[Job], out: Path) -> Iterator[str]:
    """Lines for people."""
    found: dict[tuple[int, str, str], dict[int, list[Prediction]]] = defaultdict(dict)
    masked: dict[str, dict[int, float]] = defaultdict(dict)
    losses: dict[tuple[int, str, str], list[float]] = defaultdict(list)
    for job in jobs:
        for row in json.loads((out / job.name).read_text(encoding="utf-8")):
            key = (row["labelled"], row["tuning"], row["start"])
            found[key][job.seed] = [Prediction(*answer) for answer in row["answers"]]
            if row["loss"] is not None:
                losses[key].append(row["loss"])
            if row["masked_accuracy"] is not None:
                masked[row["start"]][job.seed] = row["masked_accuracy"]
    for name, values in masked.items():
        yield f"{name}: {spread(list(values.values()))} of masked tokens right at the end"
    starts = list(dict.fromkeys(job.read.name for job in reversed(jobs)))
    yield (
        f"{'labelled':>8}  {'fine-tuning':12}{'start':22}{'loss':>6}{'macro-F1':>18}"
        f"{'accuracy':>18}   accuracy against none"
    )
    for count in jobs[0].labelled:
        for tuning, start in [*product(TUNINGS, starts), ("", N_GRAMS)]:
            by_seed = found[count, tuning, start]
            scores = [
                score_clips(answers, sorted(answers[0].probabilities), resamples=0)
                for answers in by_seed.values()
            ]
            f1 = spread([score.macro_f1.value for score in scores])
            accuracy = spread([score.accuracy.value for score in scores])
            loss = losses[count, tuning, start]
            left = f"{statistics.mean(loss):.2f}" if loss else ""
            against = ""
            if start not in (starts[0], N_GRAMS):
                before = _right(found[count, tuning, starts[0]])
                against = paired_gain(before, _right(by_seed))
            yield f"{count:>8}  {tuning:12}{start:22}{left:>6}{f1:>18}{accuracy:>18}   {against}"


def _right(by_seed: dict[int, list[Prediction]]) -> dict[int, dict[str, bool]]:
    return {seed: {a.clip_id: right(a) for a in rows} for seed, rows in by_seed.items()}


def _amounts(data: Path, held_out: int, few: int, many: int) -> list[Amount]:
    """None, few and many dialogues; the few so many times that updates are about the same."""
    _, rest = deal(dialogues(data), held_out, "0")
    characters = [sum(map(len, dialogue.turns)) for dialogue in rest[:many]]
    passes = max(1, round(sum(characters) / sum(characters[:few])))
    return [
        Amount("none", 0, 0),
        Amount(f"{few:,} dialogues x {passes}", few, passes),
        Amount(f"{len(characters):,} dialogues x 1", len(characters), 1),
    ]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/teleantifraud"))
    parser.add_argument("--out", type=Path, default=Path("runs/text-pretraining-case"))
    parser.add_argument("--held-out", type=int, default=600, help="dialogues")
    parser.add_argument("--few", type=int, default=46, help="dialogues: as much text as the demo's")
    parser.add_argument("--many", type=int, default=1000, help="dialogues")
    parser.add_argument("--labelled", type=int, nargs="+", default=[10], help="a category")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    data = chosen.data / "dialogues.jsonl.gz"
    if not data.is_file():
        sys.exit(f"error: there is no {data}: give the folder of the dialogues with --data")
    config = load_config(chosen.config, [*SETTINGS, *chosen.overrides])
    chosen.out.mkdir(parents=True, exist_ok=True)
    amounts = _amounts(data, chosen.held_out, chosen.few, chosen.many)
    labelled = tuple(chosen.labelled)
    job = Job(config, data, chosen.held_out, amounts[0], chosen.many, labelled, 0)
    jobs = [replace(job, read=read, seed=s) for read in amounts[::-1] for s in range(chosen.seeds)]
    # The longest first, so that no processor waits for the last.
    finish_jobs(run_job, jobs, chosen.out, chosen.processes)
    print(*table(jobs, chosen.out), sep="\n")


if __name__ == "__main__":
    main()
