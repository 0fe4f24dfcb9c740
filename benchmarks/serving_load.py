"""The service under load: persona-ray on Ray Serve against the same models in one process, and
against the same chain in LitServe and in BentoML.

    python -m benchmarks.serving_load --config configs/demo.yaml          # needs a trained bundle
    python -m benchmarks.serving_load --tune                              # every setting, once
    python -m benchmarks.serving_live --config configs/demo.yaml          # live calls

The corpus and the bundle are those of the configuration's workspace (`make demo` makes them).

    in process   the recogniser called directly: benchmarks/serving_inprocess.py; the ceiling
    persona-ray  `persona-ray serve`
    LitServe     benchmarks/serving_litserve.py
    BentoML      benchmarks/serving_bentoml.py

Requests are benchmarks/serving_requests.py's: clips with text, clips without (asr), whole calls.
Clients (benchmarks/serving_client.py, a process of its own, on the same processors) send them in a
closed loop. `lost` is what is not answered with 200, `other` what is answered with other
probabilities than the recogniser gives alone. All arms are up all the time and take turns in an
order that turns round; each round has its own ratios, shown are their median and middle half.
`processor` are the seconds that all processes of an arm used for a request, the clients' added,
which depends less on what else the machine does; `idle` what it uses in others' turns.

The peers are no dependency of the product. A second environment that sees the product's packages
behind its own holds them:

    python -m venv build/peers
    build/peers/bin/pip install litserve==0.2.19 bentoml==1.4.39
    realpath .venv/lib/python3.11/site-packages > \\
        build/peers/lib/python3.11/site-packages/product.pth
    python -m benchmarks.serving_load --peers build/peers/bin/python

`--out FILE` keeps the rounds of several runs, and the tables are of them all.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.serving_arms import (
    BENTOML,
    IN_PROCESS,
    LITSERVE,
    PRODUCT,
    Arm,
    Place,
    Settings,
    missing,
    prepare_alone,
    start_client,
)
from benchmarks.serving_requests import KINDS
from benchmarks.shared import arguments, middle_half
from persona_ray.config import load_config

_TWO = ("serving.speech.min_replicas=2", "serving.speech.max_replicas=2")
_APART = (
    "serving.layout=fused",
    *_TWO,
    "serving.asr.min_replicas=2",
    "serving.asr.max_replicas=2",
)
# As small as the longest clip.
_SMALL = ("serving.batch.max_s=1",)
_TWO_THREADS = ("serving.speech.threads=2", "serving.asr.threads=2")
# Serve's own: what RAY_SERVE_THROUGHPUT_OPTIMIZED sets, without ports of replicas.
_ONE_LOOP = (
    ("RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "0"),
    ("RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP", "0"),
)
_GRPC = (
    ("RAY_SERVE_USE_GRPC_BY_DEFAULT", "1"),
    ("RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH", "2147483647"),
)
# What `--tune` tries; the first of each arm is what is compared without it.
SETTINGS = (
    Settings(IN_PROCESS, "2 workers"),
    Settings(IN_PROCESS, "2 threads", workers=1, threads=2),
    Settings(IN_PROCESS, "2 workers, batch 8", batch=8),
    Settings(PRODUCT, "2 replicas", overrides=_TWO),
    Settings(PRODUCT, "2 replicas, gRPC", overrides=_TWO, environment=_GRPC),
    Settings(PRODUCT, "2 replicas, one loop, gRPC", overrides=_TWO, environment=_ONE_LOOP + _GRPC),
    Settings(PRODUCT, "2 replicas, small batches", overrides=(*_TWO, *_SMALL)),
    Settings(PRODUCT, "2 replicas, recogniser apart", overrides=_APART),
    Settings(PRODUCT, "2 threads", overrides=_TWO_THREADS),
    Settings(PRODUCT, "as shipped"),
    Settings(LITSERVE, "2 workers, batch 4", batch=4),
    Settings(LITSERVE, "2 workers"),
    Settings(LITSERVE, "2 threads, batch 4", workers=1, threads=2, batch=4),
    Settings(BENTOML, "2 workers", service="Whole"),
    Settings(BENTOML, "composed, batch 4", batch=4, service="Composed"),
)
# Requests of a turn, and clients at a time.
COUNTS = {"clips": (96, 8), "asr": (32, 8), "calls": (8, 4)}
Counts = Mapping[str, tuple[int, int]]
_MODULES = {LITSERVE: "litserve", BENTOML: "bentoml"}


def compare(
    place: Place, settings: Sequence[Settings], counts: Counts, rounds: int, out: Path
) -> None:
    arms: list[Arm] = []
    run = uuid.uuid4().hex[:8]
    client = start_client(place)
    try:
        arms.extend(Arm(one, place) for one in settings)
        for arm in arms:
            said = f"{arm.settings.title}: up after {arm.wait():.0f} s"
            print(said, file=sys.stderr, flush=True)
        for arm in arms:
            # The first requests are slow: they belong to nobody.
            arm.ask(client, "clips", 8, 8)
        for number in range(rounds):
            for kind in counts:
                for arm in arms if number % 2 == 0 else reversed(arms):
                    row = turn(arm, arms, client, kind, counts[kind])
                    keep(out, row | {"round": f"{run}-{number}"})
    finally:
        client.kill()
        for arm in arms:
            arm.end()


def turn(
    arm: Arm, arms: Sequence[Arm], client: Any, kind: str, counts: tuple[int, int]
) -> dict[str, Any]:
    before = {one.settings.title: one.used_s() for one in arms}
    answers = arm.ask(client, kind, *counts)
    after = {one.settings.title: one.used_s() for one in arms}
    used = {one: sum(after[one].values()) - sum(before[one].values()) for one in after}
    title = arm.settings.title
    processes = {name: s - before[title].get(name, 0.0) for name, s in after[title].items()}
    print(
        f"{kind}, {title}: {len(answers.latencies_s) / answers.seconds:.2f} /s, processor "
        f"{used[title]:.1f} s, {len(answers.lost)} lost {answers.lost[:1] or ''}",
        file=sys.stderr,
        flush=True,
    )
    others = {one: spent / answers.seconds for one, spent in used.items() if one != title}
    client_s = 0.0 if arm.settings.arm == IN_PROCESS else answers.processor_s
    told = asdict(answers) | {"processor_s": used[title], "client_s": client_s, "idle": others}
    told |= {"processes": processes, "memory_mb": arm.memory_mb()}
    return told | {"kind": kind, "arm": title}


def keep(out: Path, row: Mapping[str, Any]) -> None:
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def show(rows: Sequence[dict[str, Any]]) -> None:
    by_kind: dict[str, dict[str, dict[str, dict[str, Any]]]] = defaultdict(dict)
    for row in rows:
        by_kind[row["kind"]].setdefault(row["arm"], {})[row["round"]] = row
    for kind, arms in by_kind.items():
        rounds = max(len(found) for found in arms.values())
        asked = sum(len(row["latencies_s"]) for found in arms.values() for row in found.values())
        print(f"\n{kind}: {asked} requests, {rounds} rounds")
        print(
            f"  {'arm':<30}{'requests/s':>11}{'of the ceiling':>16}{'middle half':>13}{'p50 ms':>8}"
            f"{'p95':>7}{'p99':>7}{'processor ms':>14}{'of ceiling':>12}{'idle %':>8}{'MB':>7}"
            f"{'lost':>6}{'other':>7}"
        )
        ceiling = next((found for arm, found in arms.items() if arm.startswith(IN_PROCESS)), {})
        for arm, found in arms.items():
            print(line(arm, found, ceiling, rows))
        for arm, found in arms.items():
            show_stages(arm, list(found.values()))
            show_processes(arm, list(found.values()))


def line(
    arm: str,
    found: Mapping[str, dict[str, Any]],
    ceiling: Mapping[str, dict[str, Any]],
    rows: Sequence[dict[str, Any]],
) -> str:
    def rate(row: Mapping[str, Any]) -> float:
        return len(row["latencies_s"]) / float(row["seconds"])

    def processor(row: Mapping[str, Any]) -> float:
        return 1000 * float(row["processor_s"] + row["client_s"]) / len(row["latencies_s"])

    shared = [number for number in found if number in ceiling]
    text = f"  {arm:<30}{statistics.median(map(rate, found.values())):11.2f}"
    if shared:
        shares = [rate(found[number]) / rate(ceiling[number]) for number in shared]
        low, middle, high = middle_half(shares)
        text += f"{middle:16.3f}{low:7.3f}-{high:.3f}"
    else:
        text += f"{'':29}"
    latencies = sorted(value for row in found.values() for value in row["latencies_s"])
    text += "".join(
        f"{1000 * quantile(latencies, share):{width}.0f}"
        for share, width in ((0.5, 8), (0.95, 7), (0.99, 7))
    )
    text += f"{statistics.median(map(processor, found.values())):14.1f}"
    if shared:
        ratios = [processor(found[number]) / processor(ceiling[number]) for number in shared]
        text += f"{statistics.median(ratios):12.3f}"
    idle = [row["idle"][arm] for row in rows if arm in row["idle"]]
    text += f"{100 * statistics.median(idle) if idle else 0.0:8.1f}"
    text += f"{statistics.median(row['memory_mb'] for row in found.values()):7.0f}"
    lost, other = (sum(values) for values in zip(*((len(row["lost"]), row["other"])
                   for row in found.values()), strict=True))  # fmt: skip
    return text + f"{lost:6}{other:7}"


def show_stages(arm: str, found: Sequence[Mapping[str, Any]]) -> None:
    stages: dict[str, list[float]] = defaultdict(list)
    for row in found:
        for stage, values in row["stages_s"].items():
            stages[stage] += values
    for stage, values in stages.items():
        ordered = sorted(values)
        said = ", ".join(
            f"p{share} {1000 * quantile(ordered, share / 100):.0f}" for share in (50, 95, 99)
        )
        print(f"    {arm}, {stage}: {said} ms")


def show_processes(arm: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Milliseconds of processor for a request, by process: the median of rounds."""
    spent: dict[str, list[float]] = defaultdict(list)
    for row in found:
        for name, seconds in row.get("processes", {}).items():
            spent[name].append(1000 * seconds / max(1, len(row["latencies_s"])))
    medians = {name: statistics.median(values) for name, values in spent.items()}
    told = [f"{name} {ms:.1f}" for name, ms in sorted(medians.items(), key=lambda one: -one[1])]
    if len(medians) > 1:
        print(f"    {arm}, processor ms: {', '.join(one for one in told if one[-3:] != '0.0')}")


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of them do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--peers", type=Path, help="a Python that has LitServe and BentoML")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--arms", nargs="+", metavar="ARM", help="by their names, or parts: all of them"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--share", type=float, default=1.0, help="of the requests of a turn")
    parser.add_argument("--tune", action="store_true", help="all settings, one after another")
    parser.add_argument("--out", type=Path, help="rounds are added to this file")
    parser.add_argument("--requests", type=Path, help="a folder that keeps them for the next run")
    chosen = parser.parse_args()
    load_config(chosen.config, chosen.overrides)
    # Arms are processes of their own: they are ended where this one is.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    settings = list(SETTINGS)
    if chosen.arms:
        titles = {one.title for one in settings}
        settings = [
            one
            for one in settings
            if any(part == one.title or (part not in titles and part in one.title)
                   for part in chosen.arms)
        ]  # fmt: skip
    if not (chosen.tune or chosen.arms):
        settings = list({one.arm: one for one in reversed(settings)}.values())[::-1]
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.requests or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        place = Place(chosen.config, tuple(chosen.overrides), folder.absolute(), chosen.peers)
        if not (folder / "requests.json").is_file():
            prepare_alone(place)
        for arm, module in _MODULES.items():
            if any(one.arm == arm for one in settings) and missing(place, module):
                print(f"{arm} is left out: --peers names no Python that has it")
                settings = [one for one in settings if one.arm != arm]
        out = chosen.out or folder / "rounds.jsonl"
        # Settings of `--tune` are up one after the other, beside the ceiling.
        groups = [(settings[0], one) for one in settings[1:]] if chosen.tune else [settings]
        counts = {
            kind: (max(COUNTS[kind][1], round(chosen.share * COUNTS[kind][0])), COUNTS[kind][1])
            for kind in chosen.kinds
        }
        for group in groups:
            compare(place, group, counts, chosen.rounds, out)
        show([json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()])


if __name__ == "__main__":
    main()
