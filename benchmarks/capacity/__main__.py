"""`python -m benchmarks.capacity --help`."""

from __future__ import annotations

import argparse
import sys

from benchmarks import capacity
from benchmarks.capacity import recognisers, sizes, training
from benchmarks.shared import arguments, described


def main() -> None:
    parser = described(capacity.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    real = arguments(None)
    said = "the model beside the real service on this machine, which must be quiet"
    one = commands.add_parser("validate", parents=[real], add_help=False, help=said)
    one.add_argument("--kinds", nargs="+", default=["clips", "asr"])
    one.add_argument("--replicas", nargs="+", type=int, default=[1, 2])
    one.add_argument("--shares", nargs="+", type=float, default=[0.3, 0.6, 0.8])
    one.add_argument("--seconds", type=float, default=40.0, help="of each load")
    commands.add_parser("sizes", help="replicas, nodes and money for many calls")
    commands.add_parser("training", help="hours and money of pretraining on 10,000 hours")
    commands.add_parser("headroom", help="how busy recognisers may be (costs.yaml: busy_share)")
    commands.add_parser("faults", help="a recogniser dies, calls double: who waits")
    commands.add_parser("flops", help="the forward pass of HuBERT large: said and measured")
    said = "sentences and speech of the corpus' calls (costs.yaml: conversation)"
    commands.add_parser("conversation", parents=[real], add_help=False, help=said)
    chosen = parser.parse_args()
    match chosen.command:
        case "validate":
            _validate(chosen)
        case "sizes":
            print(sizes.table(sizes.read("costs.yaml"), sizes.read("prices.yaml")))
        case "training":
            print(training.table(sizes.read("costs.yaml"), sizes.read("prices.yaml")))
        case "headroom":
            costs = sizes.read("costs.yaml")
            for servers in costs["busy_share"]:
                share = recognisers.headroom(servers, costs["sentence_s"])
                print(f"{servers} recognisers: {share:.2f}")
        case "faults":
            print(recognisers.faults(sizes.read("costs.yaml")))
        case "flops":
            _flops()
        case "conversation":
            _conversation(chosen)


def _conversation(chosen: argparse.Namespace) -> None:
    from persona_ray.config import load_config
    from persona_ray.corpus.dataset import CorpusDataset

    corpus = CorpusDataset.open(load_config(chosen.config, chosen.overrides).corpus_dir)
    calls = [call for call in corpus.calls() if call.audio_s]
    seconds = sum(call.audio_s for call in calls)
    print(f"sentences_per_s {sum(call.clips for call in calls) / seconds:.3f}")
    stored = sum(file.stat().st_size for file in corpus.path.glob("clips-*"))
    hours = sum(info.duration_s for info in corpus.infos()) / 3600
    print(f"corpus_mb_per_h {stored / hours / 1e6:.0f}")
    print(f"speech_share {sum(call.speech_s for call in calls) / seconds:.3f}")


def _flops() -> None:
    """With random weights, in bf16."""
    import time

    import torch
    from transformers import HubertConfig, HubertModel

    from benchmarks.capacity import flops

    seconds = 5.0
    large = HubertConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        do_stable_layer_norm=True,
        feat_extract_norm="layer",
    )
    model = HubertModel(large).eval().to(torch.bfloat16)
    samples = torch.zeros(1, round(seconds * 16_000), dtype=torch.bfloat16)
    took = []
    with torch.inference_mode():
        for _ in range(5):
            began = time.perf_counter()
            model(samples)
            took.append(time.perf_counter() - began)
    said = flops.speech(seconds)
    took_s = sorted(took)[len(took) // 2]
    print(f"{seconds:g} s of audio: {said / 1e9:.0f} GFLOP, {took_s:.2f} s in bf16, ", end="")
    print(f"{said / took_s / 1e9:.0f} GFLOP/s")


def _validate(chosen: argparse.Namespace) -> None:
    from benchmarks.capacity import validate

    rows = validate.validate(
        chosen.config,
        chosen.overrides,
        chosen.kinds,
        chosen.replicas,
        chosen.shares,
        chosen.seconds,
    )
    print(validate.table(rows))
    sys.exit(0 if all(row.good for row in rows) else 1)


if __name__ == "__main__":
    main()
