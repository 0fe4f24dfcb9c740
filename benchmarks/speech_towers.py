"""Which speech tower hears most: on the demo's unheard customers, and on human speech.

    python -m benchmarks.speech_towers demo --config configs/demo.yaml --set workspace=runs/demo
    python -m benchmarks.speech_towers humans ../shared/data
    python -m benchmarks.speech_towers cost ../shared/data

Towers: the small HuBERT as it is built, one that pretraining left (--pretrained FOLDER), Whisper's
encoder. `demo` needs a workspace with corpus and annotations; --fine-tuned trains Whisper's encoder
too, which takes hours on a few processors (--folds 1 shortens it). `cost` tells what the tower
takes, and what it would take to use the recogniser's own encoder outputs in its place.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.human_probes import CALL_HZ, RATE_HZ, human_recordings, probe_humans
from benchmarks.shared import arguments, mean_over_groups, right
from persona_ray.config import RunConfig, load_config
from persona_ray.config.learning import SmallSpeechConfig
from persona_ray.models.load import load_speech_tower
from persona_ray.models.small import small_speech_encoder
from persona_ray.models.whisper import WHISPER_BASE, WhisperTower
from persona_ray.types import Modality

if TYPE_CHECKING:
    from persona_ray.evaluation.scores import Prediction
    from persona_ray.models.tower import SpeechTower

BATCH_S = 40.0


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("what", choices=("demo", "humans", "cost"))
    parser.add_argument("data", nargs="?", type=Path, help="folder with librispeech and aishell3")
    parser.add_argument("--pretrained", type=Path, help="folder of a pretrained small HuBERT")
    parser.add_argument("--towers", default="small,pretrained,whisper")
    parser.add_argument("--arms", default="speech,both")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--folds", type=int, help="only so many of the folds")
    parser.add_argument("--raw", action="store_true", help="also without standardising")
    parser.add_argument("--fine-tuned", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    paths = {"small": "", "pretrained": str(chosen.pretrained or ""), "whisper": WHISPER_BASE}
    towers = {name: paths[name] for name in chosen.towers.split(",")}
    if not chosen.pretrained:
        towers.pop("pretrained", None)
    if chosen.what == "demo":
        demo(load_config(chosen.config, chosen.overrides), towers, chosen)
    elif chosen.data is None:
        parser.error(f"{chosen.what} needs the folder of human speech")
    elif chosen.what == "humans":
        probe_humans(chosen.data, {name: build(path) for name, path in towers.items()})
    else:
        cost(chosen.data)


# --- the demo's unheard customers -------------------------------------------------------------


def demo(config: RunConfig, towers: dict[str, str], chosen: argparse.Namespace) -> None:
    """Accuracy over rotated folds of customers, mean over seeds, interval over customers."""
    from persona_ray.launch.labelled import open_labelled

    data = open_labelled(config)
    print(
        f"{len(data.examples)} labelled clips of {len({e.customer_id for e in data.examples})} "
        f"customers, {chosen.seeds} seeds; chance {1 / len(config.annotation.labels):.0%}"
    )
    print(f"{'tower':12s} {'speech':12s} {'arm':7s} {'clips':>24s} {'customers':>24s}  s a fold")
    for arm in chosen.arms.split(","):
        if arm == Modality.TEXT:
            row(config, data, "-", Modality.TEXT, chosen)
            continue
        for name, path in towers.items():
            for standardise in (False, True) if chosen.raw else (True,):
                own = with_tower(config, path, standardise)
                row(own, data, name, Modality(arm), chosen)
                if chosen.fine_tuned and name == "whisper" and standardise:
                    tuned = own.training.model_copy(update={"kept_frozen": ()})
                    own = own.model_copy(update={"training": tuned})
                    row(own, data, name, Modality(arm), chosen)


def with_tower(config: RunConfig, path: str, standardise: bool) -> RunConfig:
    speech = config.model.speech.model_copy(update={"path": path, "standardise": standardise})
    model = config.model.model_copy(update={"speech": speech})
    training = config.training.model_copy(update={"kept_frozen": ("speech",)})
    return config.model_copy(update={"model": model, "training": training})


def row(config: RunConfig, data: Any, name: str, arm: Modality, chosen: argparse.Namespace) -> None:
    from persona_ray.evaluation.compare import fit_and_predict, hear, plan_folds
    from persona_ray.training.finetune.vectors import VectorCache

    labels, examples = config.annotation.labels, data.examples
    cache = VectorCache(config.vectors_dir)
    evaluation = config.evaluation.model_copy(update={"sentence_split": False})
    folds = [
        f for f in plan_folds(examples, evaluation, config.splits.salt) if f.arm.modality == arm
    ]
    rows: list[list[Prediction]] = []
    seconds = 0.0
    for seed in range(chosen.seeds):
        training = config.training.model_copy(update={"seed": seed})
        heard = None
        if arm != Modality.TEXT:
            heard = hear(examples, config.model, training, labels, data.dataset, cache)
        found: list[Prediction] = []
        for fold in folds[: chosen.folds]:
            started = time.perf_counter()
            found += fit_and_predict(fold, config.model, training, labels, data.dataset, heard)[0]
            seconds += time.perf_counter() - started
        rows.append(found)
    frozen = "frozen" if "speech" in config.training.kept_frozen else "fine-tuned"
    if arm == Modality.TEXT:
        frozen = "-"
    scaled = "" if config.model.speech.standardise or arm == Modality.TEXT else " raw"
    clips, customers = shares(rows, labels)
    per_fold = seconds / (chosen.seeds * len(folds[: chosen.folds]))
    print(
        f"{name:12s} {frozen + scaled:12s} {arm:7s} {clips} {customers}  {per_fold:.0f}", flush=True
    )


def shares(rows: Sequence[Sequence[Prediction]], labels: Sequence[str]) -> tuple[str, str]:
    """Clips and customers that are right, each seed counting alike, as text with its interval."""
    from persona_ray.evaluation.scores import by_customer

    customers: dict[str, list[float]] = {}
    clips: dict[str, list[float]] = {}
    for found in rows:
        for customer in by_customer(found, labels):
            customers.setdefault(customer.customer_id, []).append(right(customer))
        for one in found:
            clips.setdefault(one.customer_id, []).append(right(one))
    return mean_over_groups(list(clips.values())), mean_over_groups(list(customers.values()))


def build(path: str) -> SpeechTower:
    if path:
        return load_speech_tower(path).eval()
    torch.manual_seed(0)
    return small_speech_encoder(SmallSpeechConfig(), CALL_HZ).eval()


# --- what it costs ----------------------------------------------------------------------------


@torch.inference_mode()
def cost(folder: Path) -> None:
    """The tower's seconds per second of audio, and the recogniser's encoder in its place."""
    import ctranslate2

    from persona_ray.asr.weights import whisper_base_dir

    tower = WhisperTower.whisper_base().eval()
    wave = np.concatenate([wave for _, wave in list(human_recordings(folder))[:8]])
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for seconds in (3, 6, 12):
            batch = torch.from_numpy(wave[: seconds * RATE_HZ]).repeat(int(BATCH_S) // seconds, 1)
            taken = least(lambda b=batch: tower.pooled(b, torch.full((len(b),), b.shape[1])))
            share = taken / (len(batch) * seconds)
            print(
                f"tower, {threads} thread(s), clips of {seconds:2d} s in batches: RTF {share:.4f}"
            )
    torch.set_num_threads(1)
    # The recogniser pads an utterance by 8 s (persona_ray/asr/whisper.py).
    clip = wave[: 3 * RATE_HZ]
    alone = torch.from_numpy(clip)[None]
    taken = least(lambda: tower.pooled(alone, torch.tensor([len(clip)])))
    print(f"one clip of 3 s: tower {1000 * taken:.0f} ms")
    hidden, _ = tower(alone, torch.tensor([len(clip)]))
    ours = tower.model.layer_norm(hidden[0, -1]).numpy()
    for window_s in (11, 30):
        padded = np.zeros(window_s * RATE_HZ, np.float32)
        padded[: len(clip)] = clip
        features = tower.preprocessor(
            padded, sampling_rate=RATE_HZ, padding=False, return_tensors="np"
        ).input_features
        for kind in ("float32", "int8"):
            model = ctranslate2.models.Whisper(
                str(whisper_base_dir()), compute_type=kind, intra_threads=1
            )
            view = ctranslate2.StorageView.from_array(np.ascontiguousarray(features))
            taken = least(lambda m=model, v=view: np.array(m.encode(v)))
            theirs = np.array(model.encode(view))[0, : len(ours)]
            a, b = ours.mean(axis=0), theirs.mean(axis=0)
            cosine = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
            print(
                f"recogniser's encoder, {kind}, window {window_s} s: {1000 * taken:.0f} ms, mean "
                f"vector of the last block: cosine {cosine:.3f} with the tower's"
            )


def least(action: Any, times: int = 5) -> float:
    """Seconds of the fastest of `times` runs: what others do on the machine only adds."""
    found = []
    for _ in range(times):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return min(found)


if __name__ == "__main__":
    main()
