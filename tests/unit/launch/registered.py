"""A workspace with a labelled corpus, and bundles whose skill is known."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from persona_ray.audio.coding import encode_flac
from persona_ray.config import RunConfig
from persona_ray.corpus.records import EncodedClip, clip_id
from persona_ray.launch.labelled import LabelledCorpus, open_labelled
from persona_ray.launch.versions.lineage import lineage_of
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.build import build_model
from persona_ray.models.bundle import contract_of, save_bundle
from persona_ray.models.collate import collate
from persona_ray.models.lineage import Heard, Lineage, Use
from persona_ray.store import Annotation, open_store
from persona_ray.types import ClipInfo, Modality, Split
from tests.unit.corpus.folders import write_corpus
from tests.unit.training.toys import LABELS, RATE_HZ, WORDS, model_config

CUSTOMERS, CLIPS = 48, 3
WRONG = (*LABELS[1:], LABELS[0])


def workspace(folder: Path) -> RunConfig:
    """Each customer says three sentences with the character of one colour in them."""
    config = RunConfig.model_validate(
        {
            "workspace": str(folder),
            "splits": {"train": 0.5, "dev": 0.2, "test": 0.3},
            "model": {"modality": "text"},
            "cut": {"max_clip_s": 6},
            "launch": {"backend": "plain", "cpus_per_worker": 1},
        }
    )
    infos = [_info(customer, clip) for customer in range(CUSTOMERS) for clip in range(CLIPS)]
    silence = encode_flac(np.zeros(800, dtype=np.float32), RATE_HZ)
    write_corpus(config.corpus_dir, [EncodedClip(info, silence) for info in infos])
    with open_store(config.store_url) as store:
        store.annotations.save(
            Annotation(annotator="wang", label=label_of(info.customer_id), clip_id=info.clip_id)
            for info in infos
        )
    return config


def label_of(customer_id: str) -> str:
    return LABELS[int(customer_id.removeprefix("customer-")) % len(LABELS)]


def customers(data: LabelledCorpus, split: Split) -> list[str]:
    return sorted({example.customer_id for example in data.of(split)})


def make_bundle(
    config: RunConfig,
    name: str,
    seed: int = 0,
    answers: Sequence[str] = LABELS,
    labels: Sequence[str] = LABELS,
    lineage: Lineage | None = None,
    metrics: dict[str, float] | None = None,
) -> Path:
    """A bundle fitted to the training clips by least squares, in `workspace/name`.

    It says `answers[i]` where the truth is `LABELS[i]`; `labels` are what its contract calls its
    outputs. `lineage` None: of the training and dev clips.
    """
    data = open_labelled(config)
    train = data.of(Split.TRAIN)
    model = build_model(
        model_config(Modality.TEXT), tuple(labels), [e.text for e in train], RATE_HZ, seed
    ).eval()
    said = [answers[LABELS.index(example.label)] for example in train]
    _fit(model, [example.text for example in train], [list(LABELS).index(name) for name in said])
    folder = config.workspace / name
    heard = lineage_of(data.examples, config.model) if lineage is None else lineage
    contract = contract_of(
        model, data.dataset.fingerprint, metrics or {"dev_clip_accuracy": 0.5}, {"name": name}
    )
    save_bundle(model, folder, contract, heard)
    return folder


@torch.inference_mode()
def _fit(model: BimodalModel, texts: Sequence[str], targets: Iterable[int]) -> None:
    """The head that tells the targets from the untrained encoder's vectors."""
    seen: list[torch.Tensor] = []
    hook = model.classifier.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    model(collate(texts, [], None, model, 0))
    hook.remove()
    vectors = torch.cat(seen).double()
    ones = torch.ones(len(vectors), 1, dtype=torch.float64)
    wanted = 4 * torch.eye(len(model.labels), dtype=torch.float64)[list(targets)]
    x = torch.cat([vectors, ones], dim=1)
    ridge = 1e-2 * torch.eye(x.shape[1], dtype=torch.float64)
    solved = torch.linalg.solve(x.T @ x + ridge, x.T @ wanted)
    model.classifier.weight.copy_(solved[:-1].T)
    model.classifier.bias.copy_(solved[-1])


def _info(customer: int, clip: int) -> ClipInfo:
    customer_id = f"customer-{customer}"
    word = WORDS[label_of(customer_id)]
    random = np.random.default_rng((customer, clip))
    filler = list(random.choice(list("我你的是了吗在有"), 6))
    call_id = f"call-{customer:03d}"
    return ClipInfo(
        clip_id=clip_id(call_id, 1, clip * 2.0, clip * 2.0 + 1),
        call_id=call_id,
        customer_id=customer_id,
        channel=1,
        start_s=clip * 2.0,
        end_s=clip * 2.0 + 1,
        # No text stands twice, or it would be taken for a leak.
        text="".join(filler) + word * (2 + clip) + f"{customer * CLIPS + clip:03d}",
    )


@dataclass(frozen=True)
class Made:
    """`bad` tells every colour as the next one; `heard_four` has four test customers, `heard_all`
    all of them, in its lineage."""

    config: RunConfig
    good: Path
    better: Path
    bad: Path
    heard_four: Path
    heard_all: Path
    other_labels: Path
    old: Path
    test_customers: list[str]


def make_all(folder: Path) -> Made:
    config = workspace(folder)
    data = open_labelled(config)
    test = customers(data, Split.TEST)

    def heard(*more: str) -> Lineage:
        rows = [Heard(f"clip of {name}", name, Use.PRETRAINING) for name in more]
        return Lineage.of([*lineage_of(data.examples, config.model), *rows])

    strange = ("calm", "fiery", "sunny", "cold")
    bundles = Made(
        config,
        good=make_bundle(config, "bundle", metrics={"dev_clip_accuracy": 0.75}),
        better=make_bundle(config, "better", seed=1),
        bad=make_bundle(config, "bad", answers=WRONG),
        heard_four=make_bundle(config, "heard-four", seed=1, lineage=heard(*test[:4])),
        heard_all=make_bundle(config, "heard-all", lineage=heard(*test)),
        other_labels=make_bundle(config, "other-labels", labels=strange),
        old=make_bundle(config, "old"),
        test_customers=test,
    )
    unsealed(bundles.old)
    return bundles


def unsealed(bundle: Path) -> None:
    """As older releases wrote it."""
    (bundle / "lineage.parquet").unlink()
    manifest = json.loads((bundle / "bundle.json").read_text())
    del manifest["files"]["lineage.parquet"]
    (bundle / "bundle.json").write_text(json.dumps(manifest))


def flip_a_bit(bundle: Path) -> None:
    path = bundle / "text" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


def lose_a_file(bundle: Path) -> None:
    (bundle / "head.safetensors").unlink()


def swap_it(bundle: Path) -> None:
    (of,) = [folder for folder in bundle.parents if (folder / "corpus").is_dir()]
    shutil.rmtree(bundle)
    shutil.copytree(of / "better", bundle)


def lose_all(bundle: Path) -> None:
    shutil.rmtree(bundle)
