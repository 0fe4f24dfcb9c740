"""The convolutional front: which way of computing it is fastest, and what keeping its frames saves.

    python -m benchmarks.speech_front ways
    python -m benchmarks.speech_front epoch

`ways` times the fronts of HuBERT large and of the small encoder (random weights) in each way that
`persona_ray/models/convolution.py` knows. `epoch` times epochs of a speech encoder that is trained
behind a frozen front, with the front and from kept frames (`training.cache_front`); --blocks says
how deep it is. What is compared takes turns, and the order turns round, so that what else the
machine does falls on all alike. Ratios are medians over the rounds, with the middle half of them.
With --threads 1 processor time is counted, which other processes only lengthen by taking caches and
memory; with more threads the time on the clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from benchmarks.shared import described
from persona_ray.config.engine import EngineConfig
from persona_ray.config.learning import SmallSpeechConfig
from persona_ray.models.bimodal import BimodalModel
from persona_ray.models.convolution import Way, way_for
from persona_ray.models.small import small_speech_encoder
from persona_ray.models.speech import SpeechEncoder
from persona_ray.objectives.classification import TERM
from persona_ray.training.context import PlainContext
from persona_ray.training.engine.base import build_engine
from persona_ray.training.finetune.classifier import Classifier, groups_of
from persona_ray.training.finetune.encode import Pass
from persona_ray.training.finetune.front_cache import FrontCache
from persona_ray.training.finetune.fronts import with_fronts
from persona_ray.training.finetune.inputs import LabelledClips
from persona_ray.training.plan import plan_passes
from persona_ray.types import Example, Split

if TYPE_CHECKING:
    from persona_ray.types import Samples

CPU = torch.device("cpu")
LABELS = ("red", "blue", "yellow", "green")
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def encoder(name: str, blocks: int) -> SpeechEncoder:
    """With random weights; `small` as it is built at 8 kHz, but for its depth."""
    from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor

    torch.manual_seed(0)
    if name == "small":
        return small_speech_encoder(SmallSpeechConfig(layers=blocks), 8000)
    config = HubertConfig(
        hidden_size=1024,
        num_hidden_layers=blocks,
        num_attention_heads=16,
        intermediate_size=4096,
        feat_extract_norm="layer",
        conv_bias=True,
        do_stable_layer_norm=True,
        mask_time_prob=0.0,
    )
    rate = Wav2Vec2FeatureExtractor(sampling_rate=16_000, do_normalize=True)
    return SpeechEncoder(HubertModel(config), rate)


def ways(chosen: argparse.Namespace) -> None:
    print(
        f"clips of {chosen.seconds:g} s, {chosen.rounds} rounds, {torch.get_num_threads()} threads"
    )
    for name in chosen.encoders.split(","):
        speech = encoder(name, 1)
        front = speech.model.feature_extractor
        front._requires_grad = False
        for kind, dtype in FORMATS.items():
            for clips in chosen.clips:
                waves = torch.randn(clips, int(chosen.seconds * speech.sample_rate_hz))
                for trained in (False, True):
                    step = _step(front, waves, dtype, trained)
                    arms = {
                        way: (lambda way=way, front=front, step=step: _by(way, front, step))
                        for way in get_args(Way)
                    }
                    what = "forward, backward" if trained else "forward"
                    ours = "plain" if trained else way_for(CPU, dtype)
                    print(f"{name}, {clips} clip(s), {kind}, {what}; chosen: {ours}")
                    report(turns(arms, chosen.rounds), "plain")


def _step(front: Any, waves: torch.Tensor, dtype: torch.dtype, trained: bool) -> Callable[[], Any]:
    def step() -> None:
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16),
            torch.set_grad_enabled(trained),
        ):
            frames = front(waves)
        if trained:
            frames.float().square().mean().backward()

    return step


def _by(way: Way, front: Any, step: Callable[[], Any]) -> None:
    for layer in front.conv_layers:
        layer.conv.way = way
    step()


@dataclass(frozen=True)
class Noise:
    """A second of it is as dear as one of speech."""

    sample_rate_hz: int
    seconds: float

    def digest(self, clip_id: str) -> str:
        return clip_id

    def samples(self, clip_id: str) -> Samples:
        rng = np.random.default_rng(int(clip_id))
        size = int(self.seconds * self.sample_rate_hz)
        return np.asarray(0.1 * rng.standard_normal(size), dtype=np.float32)


def epoch(chosen: argparse.Namespace) -> None:
    for name in chosen.encoders.split(","):
        for kind in FORMATS:
            speech = encoder(name, chosen.blocks)
            speech.freeze_front()
            speech.set_frozen(False)
            model = BimodalModel(speech, None, LABELS, 0.1, 60.0)
            source = Noise(speech.sample_rate_hz, chosen.seconds)
            clips = LabelledClips(examples(max(chosen.clips), chosen.seconds), source, model)
            with tempfile.TemporaryDirectory() as temporary:
                compare_epochs(clips, kind, Path(temporary), f"{name}, {kind}", chosen)


def compare_epochs(
    clips: LabelledClips, kind: str, folder: Path, name: str, chosen: argparse.Namespace
) -> None:
    context, micro_s = PlainContext(device=CPU), 2.1 * chosen.seconds
    config = EngineConfig(precision=kind)
    started = time.perf_counter()
    nobody = LabelledClips([], clips.source, clips.model)
    kept, _ = with_fronts((clips, nobody), Pass.alone(micro_s, context, config), FrontCache(folder))
    filled = time.perf_counter() - started
    size = sum(file.stat().st_size for file in folder.rglob("*.safetensors"))
    classifier = Classifier(clips.model)
    groups = groups_of(classifier)
    engine = build_engine(classifier, groups, 1.0, config, context)
    rates = {group.name: 1e-5 for group in groups}

    def run(fed: LabelledClips) -> None:
        for positions in plan_passes(fed.sizes(), micro_s, 1)[0]:
            batch = fed.batch(positions, 0)
            engine.accumulate(batch.inputs, lambda outputs: outputs[f"{TERM}.loss"], last=True)
            engine.step(rates)

    audio_s = len(clips.examples) * chosen.seconds
    print(
        f"{name}, {chosen.blocks} blocks, {len(clips.examples)} clips of {chosen.seconds:g} s, "
        f"{torch.get_num_threads()} threads; frames: {filled:.1f} s, once, "
        f"{3600 * size / audio_s / 1e6:.0f} MB for an hour of audio"
    )
    arms = {"with the front": lambda: run(clips), "kept frames": lambda: run(kept)}
    report(turns(arms, chosen.rounds), "with the front")


def examples(count: int, seconds: float) -> list[Example]:
    return [
        Example(
            clip_id=str(number),
            customer_id=str(number),
            label=LABELS[number % len(LABELS)],
            split=Split.TRAIN,
            text="",
            duration_s=seconds,
        )
        for number in range(count)
    ]


def turns(arms: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each arm in each round; a first one does not count."""
    taken: dict[str, list[float]] = {arm: [] for arm in arms}
    names = list(arms)
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for number in range(rounds + 1):
        shift = number % len(names)
        for arm in names[shift:] + names[:shift]:
            started = clock()
            arms[arm]()
            if number:
                taken[arm].append(clock() - started)
    return taken


def report(taken: Mapping[str, Sequence[float]], base: str) -> None:
    for arm, seconds in taken.items():
        ratios = sorted(its / one for its, one in zip(taken[base], seconds, strict=True))
        low, high = np.percentile(ratios, [25, 75])
        print(
            f"  {arm:15s} median {1000 * statistics.median(seconds):9.1f} ms, least "
            f"{1000 * min(seconds):9.1f} ms, {statistics.median(ratios):.2f} times as fast as "
            f"{base} ({low:.2f} to {high:.2f})",
            flush=True,
        )


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("what", choices=("ways", "epoch"))
    parser.add_argument("--encoders", default="large,small")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    {"ways": ways, "epoch": epoch}[chosen.what](chosen)


if __name__ == "__main__":
    main()
