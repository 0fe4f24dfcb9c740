"""A report of made-up figures that fills every part, for looking at the layout."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np

from persona_ray.evaluation.quality import CutErrors, Found, Quality
from persona_ray.evaluation.report import ReportData, write_report
from persona_ray.evaluation.report.data import (
    AnnotationPart,
    Comparison,
    CorpusPart,
    Epoch,
    HeldOut,
    LeakagePart,
    ModalityScores,
    NearDuplicate,
    QuarantinedCall,
    RecognisedCall,
    RecognisedSentence,
    Setting,
    SplitGap,
    SplitSize,
    Stage,
    TrainingRun,
)
from persona_ray.evaluation.report.pretraining import PretrainingPart, pretraining_runs
from persona_ray.evaluation.scores import Prediction, Scores, score_clips, score_customers
from persona_ray.training.pretrain.curve import Curve, CurvePoint
from persona_ray.types import Modality, Split
from tests.unit.evaluation.made_up_judgement import judged

LABELS = ("red", "blue", "yellow", "green")
SENTENCES = (
    "我跟你说啊，上次那个套餐我真的特别喜欢，朋友们都羡慕我",
    "请问这个利率是按日计算还是按月计算，有没有书面的说明",
    "别绕弯子了，你就告诉我今天能不能办好",
    "没关系的，你们慢慢处理就行，我不着急",
    "那费用明细能不能发我一份，我想核对一下每一项",
    "行，就按你说的办吧，我听你的安排",
)


def predictions(customers: int, clips: int, skill: float, seed: int = 0) -> list[Prediction]:
    """Clips whose label is favoured by `skill`."""
    random = np.random.default_rng(seed)
    rows = []
    for c in range(customers):
        label = LABELS[c % 4]
        for k in range(clips):
            weights = random.dirichlet(np.full(4, 1.2))
            weights[LABELS.index(label)] += skill * float(random.random())
            weights /= weights.sum()
            rows.append(
                Prediction(
                    f"{c}-{k}", f"C{c:04d}", label, dict(zip(LABELS, weights.tolist(), strict=True))
                )
            )
    return rows


def scores(customers: int, clips: int, skill: float, seed: int = 0) -> tuple[Scores, Scores]:
    """Scores of clips and of customers."""
    rows = predictions(customers, clips, skill, seed)
    return score_clips(rows, LABELS, 300), score_customers(rows, LABELS, resamples=300)


def calls(count: int, seed: int = 1) -> tuple[RecognisedCall, ...]:
    """Recognised calls, the last of them with nothing usable."""
    random = np.random.default_rng(seed)

    def probabilities(label: str) -> dict[str, float]:
        weights = random.dirichlet(np.full(4, 1.5)) + 0.4 * np.eye(4)[LABELS.index(label)]
        return dict(zip(LABELS, (weights / weights.sum()).tolist(), strict=True))

    rows = []
    for i in range(count - 1):
        label = LABELS[i % 4]
        said = tuple(
            RecognisedSentence(
                start_s=4.0 + 9 * k,
                end_s=10.0 + 9 * k,
                text=SENTENCES[int(random.integers(len(SENTENCES)))],
                probabilities=probabilities(label),
            )
            for k in range(4)
        )
        mean = {n: sum(s.probabilities[n] for s in said) / len(said) for n in LABELS}
        rows.append(
            RecognisedCall(
                call_id=f"call-{i:05d}",
                customer_id=f"C{i // 2:04d}",
                scene=("credit card", "insurance", "broadband")[i % 3],
                label=label,
                probabilities=mean,
                sentences=said,
            )
        )
    rows.append(
        RecognisedCall(
            call_id=f"call-{count:05d}",
            customer_id="C0099",
            scene="insurance",
            label="green",
            reason="no sentence of 10 characters or more",
        )
    )
    return tuple(rows)


def quality() -> Quality:
    """Planted truth against a corpus."""
    random = np.random.default_rng(2)
    edges = tuple(float(e) for e in range(-1000, 1050, 50))
    errors = np.clip(random.normal(110, 90, 1400), -990, 990)
    counts, _ = np.histogram(errors, edges)
    reasons = [("empty_file", 1), ("mono", 2), ("not_audio", 1), ("silent", 1), ("truncated", 2)]
    return Quality(
        calls=230,
        calls_absent=0,
        reference_characters=15012,
        substitutions=702,
        insertions=121,
        deletions=210,
        aligned=14800,
        placed=14390,
        clips=918,
        clips_of_wrong_speaker=4,
        clips_of_nobody=1,
        utterances=941,
        utterances_found=906,
        fillers=74,
        fillers_kept=9,
        cut=CutErrors(
            borders=1400,
            median_ms=112.0,
            p90_ms=231.0,
            into_speech=0.031,
            pad_ms=100.0,
            edges_ms=edges,
            counts=tuple(int(n) for n in counts),
        ),
        quarantine=Found(name="all", planted=8, found=8, right=8),
        quarantine_reasons=tuple(
            Found(name=name, planted=n, found=n - (name == "truncated"), right=n - (n > 1))
            for name, n in reasons
        ),
        flags=(
            Found(name="channel_swapped", planted=3, found=3, right=3),
            Found(name="mulaw", planted=3, found=3, right=3),
        ),
    )


def corpus() -> CorpusPart:
    """A corpus with quarantine and quality."""
    return CorpusPart(
        calls=240,
        ok=231,
        nothing_usable=1,
        quarantined=(
            QuarantinedCall(
                call_id="call-00017", reason="empty_file", detail="audio/0017.ogg has no bytes"
            ),
            QuarantinedCall(
                call_id="call-00042",
                reason="truncated",
                detail="audio/0042.wav lasts 31.2 s where the database promises 52.0 s",
            ),
            QuarantinedCall(
                call_id="call-00108",
                reason="mono",
                detail="audio/0108.ogg has one channel where the database promises 2: customer "
                "and agent cannot be told apart (archive.mono = customer takes it as one)",
            ),
        ),
        clips=918,
        customers=79,
        clip_audio_s=3920.0,
        call_audio_s=11240.0,
        dropped_short=88,
        min_chars=10,
        flags={"mulaw": 3, "converted_rate": 2, "channel_swapped": 3},
        recogniser="whisper base",
        recognised_anew=6,
        audio_s_per_s=14.2,
        wall_s=64.0,
        workers=2,
        quality=quality(),
    )


def curve(name: str, epochs: int, updates: int, iteration: int = 0) -> Curve:
    """A curve that falls from the logarithm of the classes, a point every ten updates. Speech
    where an `iteration` is named. `seconds` are those of 50 updates a minute."""
    random = np.random.default_rng(updates + iteration)
    points = []
    for update in range(10, updates + 1, 10):
        gone = (update / updates) ** 0.4
        loss = (4.6 if iteration else 7.1) * (1 - (0.5 + 0.1 * iteration) * gone)
        loss *= 1 + 0.015 * float(random.standard_normal())
        terms, accuracy = {"masked_words": loss}, {"masked_words": 0.62 * gone}
        if iteration:
            terms = {"masked_units": loss, "feature_penalty": 0.01}
            accuracy = {"masked_units": (0.2 + 0.1 * iteration) * gone}
        points.append(
            CurvePoint(
                update=update,
                epoch=epochs * update / updates,
                loss=sum(terms.values()),
                terms=terms,
                accuracy=accuracy,
                learning_rate=1e-4,
                gradient_norm=1.0,
                size_per_s=160.0 if iteration else 9800.0,
                padding_share=0.07,
                flops_per_s=4e10,
                utilisation=0.21 if iteration else 0.043,
                seconds=1.2 * update,
            )
        )
    return Curve(name, "audio_s" if iteration else "tokens", updates, tuple(points))


@cache
def full_report() -> ReportData:
    """Every part; frozen."""
    held_clips, held_customers = scores(8, 11, 0.45, seed=4)
    modalities = []
    skills = {Modality.TEXT: 0.3, Modality.SPEECH: 0.35, Modality.BOTH: 0.55}
    for n, (modality, skill) in enumerate(skills.items()):
        of_clips, of_customers = scores(80, 11, skill, seed=n)
        modalities.append(ModalityScores(modality=modality, clips=of_clips, customers=of_customers))
    epochs = tuple(
        Epoch(
            epoch=e,
            frozen=e <= 5,
            loss=1.4 * 0.93**e - 0.12 * max(0, e - 5) ** 0.5,
            dev_loss=1.4 * 0.96**e - 0.05 * max(0, e - 5) ** 0.5,
            dev_accuracy=min(0.62, 0.27 + 0.025 * e),
            learning_rate=1e-3 * 0.95 ** (e - 1),
            wall_s=3.0 if e <= 5 else 14.0,
        )
        for e in range(1, 16)
    )
    near = NearDuplicate(
        text=SENTENCES[4],
        split=Split.TRAIN,
        other_text=SENTENCES[4].replace("费用", "账单"),
        other_split=Split.TEST,
        similarity=0.86,
    )
    report = ReportData(
        subtitle="demo archive",
        made_at=datetime(2026, 3, 11, 9, 30, tzinfo=UTC),
        version="0.1.0",
        command="persona-ray run --config demo.yaml",
        labels=LABELS,
        synthetic=True,
        held_out=HeldOut(
            clips=held_clips,
            customers=held_customers,
            train_clips=742,
            train_customers=63,
            train_audio_s=3105.0,
            held_out_audio_s=372.0,
        ),
        calls=calls(9),
        comparison=Comparison(folds=5, modalities=tuple(modalities)),
        split_gap=SplitGap(
            by_customer=scores(80, 11, 0.45, 3)[0], by_sentence=scores(80, 11, 0.8, 3)[0]
        ),
        pretraining=PretrainingPart(
            text=pretraining_runs((curve("text, new head", 1, 40), curve("text", 60, 2400))),
            speech=pretraining_runs(
                [curve(f"speech, iteration {n}", 30, 900, n) for n in (1, 2)],
                {"speech, iteration 1": "100 units of MFCC: 98% used, perplexity 87.6"},
            ),
        ),
        training=TrainingRun(
            epochs=epochs,
            stopped="the epochs were out",
            chosen_epoch=15,
            layer_weights=(0.21, 0.35, 0.44),
            layer_parts=(-0.02, 0.31, 0.71),
            parameters=1_934_212,
            speech_encoder="small HuBERT, 3 blocks of 128",
            text_encoder="small BERT, 3 blocks of 128",
            backend="Ray Train",
            workers=1,
        ),
        corpus=corpus(),
        annotation=AnnotationPart(
            annotators=3,
            annotations=2201,
            annotated_clips=918,
            labelled_clips=861,
            uncertain_clips=31,
            conflicts=26,
            alpha=0.61,
            splits=(
                SplitSize(
                    split=Split.TRAIN,
                    customers=63,
                    clips=742,
                    audio_s=3105.0,
                    labels={"red": 190, "blue": 181, "yellow": 186, "green": 185},
                ),
                SplitSize(
                    split=Split.DEV,
                    customers=8,
                    clips=87,
                    audio_s=360.0,
                    labels={"red": 21, "blue": 20, "yellow": 25, "green": 21},
                ),
                SplitSize(
                    split=Split.TEST,
                    customers=8,
                    clips=88,
                    audio_s=372.0,
                    labels={"red": 22, "blue": 22, "yellow": 22, "green": 22},
                ),
            ),
        ),
        leakage=LeakagePart(near_duplicates=(near,), near_duplicates_found=1),
        stages=(
            Stage(name="Corpus", wall_s=64.0),
            Stage(name="Annotation and splits", wall_s=3.1),
            Stage(name="Fine-tuning", wall_s=181.0),
            Stage(name="Comparison", wall_s=214.0),
            Stage(name="Evaluation", wall_s=6.4),
        ),
        settings=(
            Setting(key="training.learning_rate", value="0.001", default="1e-05"),
            Setting(key="workspace", value="runs/demo", default="runs/default"),
        ),
        versions={"python": "3.11.9", "torch": "2.13.0", "ray": "2.60.0"},
        machine="2 processors, 24 GiB",
    )
    return judged(report)


if __name__ == "__main__":
    print(write_report(full_report(), Path(sys.argv[1])))
