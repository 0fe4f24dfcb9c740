"""Voiceprint trials: human voices, then the demo archive's, at 8 kHz mu-law.

    python -m benchmarks.voice_trials --data ../shared/data/librispeech \
        --others ../shared/data/aishell3 [--archive demo/archive]

--data: a folder with one folder of clips for each person. A voice is enrolled from one clip and
tried against `seconds` of speech of the others. --others: single clips of as many strangers. Where
people of either are judged, both of a pair are left out of the strangers. The archive's customers
with odd numbers are tried by the shipped calibration, whose cohort is of the even ones.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.shared import described
from benchmarks.voice_calibration import Crowd, crowd, without
from benchmarks.voice_material import Clip, Sound, Trials, customers, people, single_clips, trials
from persona_ray.config.corpus import VadConfig
from persona_ray.config.screening import VoiceConfig
from persona_ray.inference.screening.records import Channel
from persona_ray.inference.screening.voice_scores import (
    LOOKS,
    ChannelCalibration,
    build_calibration,
)
from persona_ray.inference.screening.voiceprint import Voiceprinter, build_voiceprinter

SECONDS = (1.5, 2.0, 3.0, 5.0, 8.0)
# When a call is asked about while its caller talks, to 8 s.
ASKED = (3.0, 4.5, 6.75, 8.0)
SIZES = (1, 10, 100, 1000, 10_000)
_RESAMPLES, _DRAWS = 1000, 400
Judge = Callable[[Collection[str]], ChannelCalibration]


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--others", type=Path, required=True)
    parser.add_argument("--archive", type=Path, default=Path("demo/archive"))
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    config = VoiceConfig()
    printer = build_voiceprinter(config, VadConfig())
    shipped = build_calibration(config, printer.encoder.name).channels
    for channel in Channel:
        mine = people(arguments.data, printer, channel)
        others = single_clips(arguments.others, printer, channel)
        crowds = [crowd(mine, printer), crowd(others, printer)]

        judge = _leaving_out(crowds, shipped[channel])
        print(f"\n{arguments.data.name}, {channel}: equal error rate (95 % over speakers)")
        for seconds in SECONDS:
            _eer_line(seconds, trials(mine, seconds, printer))
        _by_size(mine, crowds[1], judge, printer, config.false_matches)
        if channel is Channel.TELEPHONE:
            _rules(mine, crowds[1], judge, printer, config.false_matches)
            _libraries(arguments.data.name, mine, (2, 4), judge, printer, config)
    odd = customers(arguments.archive, printer, odd=True)
    print("\ndemo archive, telephone: equal error rate (95 % over speakers)")
    for seconds in (3.0, 8.0):
        _eer_line(seconds, trials(odd, seconds, printer))
    _libraries(
        "demo archive", odd, (1, 10, 20), lambda _: shipped[Channel.TELEPHONE], printer, config
    )


def _leaving_out(crowds: Sequence[Crowd], shipped: ChannelCalibration) -> Judge:
    """The shipped calibration, but for the people named."""
    law = shipped.strangers

    def judge(names: Collection[str]) -> ChannelCalibration:
        return ChannelCalibration(without(crowds, names, law.level, law.scale), shipped.cohort)

    return judge


def nearness(found: Trials, judge: Judge) -> Sound:
    """Of every test and voice (t, v), judged by strangers without the two people."""
    out = np.full(found.own.shape, np.nan, np.float32)
    tests, voices = np.array(found.tests), np.array(found.voices)
    for one in sorted(set(found.tests)):
        for other in sorted(set(found.voices)):
            judged = judge({one, other})
            for test in np.flatnonzero(tests == one):
                for voice in np.flatnonzero(voices == other):
                    out[test, voice] = judged.nearness(found.heard[test], found.enrolled[voice])
    return out


def _bound(rate: float, size: int, looks: float = LOOKS) -> float:
    """The nearness that is a match among so many voices."""
    return float(norm.isf(rate / (looks * size)))


def _by_size(
    clips: Sequence[Clip], others: Crowd, judge: Judge, printer: Voiceprinter, rate: float
) -> None:
    """Misses and false matches by the number of voices, one comparison for each."""
    early, late = (trials(clips, seconds, printer) for seconds in (3.0, 8.0))
    looks = [trials(clips, seconds, printer, ASKED[-1]) for seconds in ASKED]
    reached = {id(found): nearness(found, judge) for found in (early, late, *looks)}
    call = np.stack([reached[id(found)] for found in looks])
    pairs = _between(others, judge)
    print(
        f"{'voices':>7} {'missed: 3 s':>12} {'8 s':>7} {'by 8 s':>7}   x voices, false: "
        f"{'3 s':>8} {'8 s':>8} {'by 8 s':>8}  pairs of others"
    )
    for size in SIZES:
        bound = _bound(rate, size)
        missed = [np.mean(reached[id(found)][found.same] <= bound) for found in (early, late)]
        missed.append(np.mean((call[:, looks[0].same] <= bound).all(axis=0)))
        false = [np.mean(reached[id(found)][found.other] > bound) for found in (early, late)]
        false.append(np.mean((call[:, looks[0].other] > bound).any(axis=0)))
        print(
            f"{size:>7} {missed[0]:>12.1%} {missed[1]:>7.1%} {missed[2]:>7.1%} {'':>18}"
            + " ".join(f"{size * share:>8.2%}" for share in false)
            + f"  {(pairs > bound).sum()} of {len(pairs)}",
            flush=True,
        )
    strange = call[:, looks[0].other]
    for share in (0.05, 0.02):
        level = np.quantile(strange, 1 - share)
        print(
            f"    at any of {len(ASKED)} looks, where one has {share:.0%}: "
            f"{np.mean((strange > level).any(axis=0)):.1%}"
        )


def _between(others: Crowd, judge: Judge) -> Sound:
    """Of every two single clips, by strangers without the two."""
    names = sorted(others.heard)
    return np.array(
        [
            judge({a, b}).nearness(others.heard[a][0], others.enrolled[b][0])
            for place, a in enumerate(names)
            for b in names[:place]
        ]
    )


def _rules(
    clips: Sequence[Clip], others: Crowd, judge: Judge, printer: Voiceprinter, rate: float
) -> None:
    """What each part of the rule costs at 3 s, and what it is for."""
    found = trials(clips, 3.0, printer)
    ours = found.cosines[found.other]
    voices = np.concatenate([others.heard[name] for name in sorted(others.heard)])
    theirs = (voices @ voices.T)[np.tril_indices(len(voices), -1)]
    u, pairs = (
        nearness(found, lambda names: _alone(judge(names))),
        _between(others, lambda names: _alone(judge(names))),
    )
    both, both_pairs = nearness(found, judge), _between(others, judge)
    moved = (max(ours.mean(), theirs.mean()), max(ours.std(), theirs.std()))
    rules = {
        "cosine, law of --data": (*_law(found.cosines, theirs, ours.mean(), ours.std()), 1.0),
        "cosine, wider of both laws": (*_law(found.cosines, theirs, *moved), 1.0),
        "s-norm": (u, pairs, 1.0),
        "s-norm, looks": (u, pairs, LOOKS),
        "s-norm, looks, cohort": (both, both_pairs, LOOKS),
    }
    print("\nrules at 3 s: missed of 1, 10, 100, 1000 voices; false of 1; pairs of others")
    for name, (reached, strange, looks) in rules.items():
        bounds = [_bound(rate, size, looks) for size in SIZES[:4]]
        missed = " ".join(f"{np.mean(reached[found.same] <= bound):6.1%}" for bound in bounds)
        false = np.mean(reached[found.other] > bounds[0])
        print(f"{name:28} {missed}  {false:6.2%}  {(strange > bounds[0]).sum()} of {len(strange)}")


def _law(ours: Sound, theirs: Sound, mean: float, deviation: float) -> tuple[Sound, Sound]:
    return (ours - mean) / deviation, (theirs - mean) / deviation


def _alone(known: ChannelCalibration) -> ChannelCalibration:
    return ChannelCalibration(known.strangers, known.cohort[:0])


def _libraries(
    name: str,
    clips: Sequence[Clip],
    sizes: Sequence[int],
    judge: Judge,
    printer: Voiceprinter,
    config: VoiceConfig,
) -> None:
    """Libraries of people drawn many times, one recording each, margin included."""
    print(f"\n{name}: libraries, by {_DRAWS} draws")
    print(f"{'voices':>7} {'s':>4} {'false':>8} {'wrong':>8} {'missed':>8}")
    for seconds in (3.0, 8.0):
        found = trials(clips, seconds, printer)
        reached = nearness(found, judge)
        for size in sizes:
            rates = _screen(found, reached, size, config)
            shown = " ".join(f"{rate:8.2%}" for rate in rates)
            print(f"{size:>7} {seconds:>4} {shown}", flush=True)


def _screen(
    found: Trials, reached: Sound, size: int, config: VoiceConfig
) -> tuple[float, float, float]:
    """The shares of calls by others that are matched, of calls by those in the library that are
    matched to somebody else, and missed."""
    random = np.random.default_rng(0)
    names, voices, tests = sorted(set(found.voices)), np.array(found.voices), np.array(found.tests)
    strange = strange_matched = own = wrong = right = 0
    bound = _bound(config.false_matches, size)
    for _ in range(_DRAWS):
        known = random.choice(names, size, replace=False)
        rows = np.array([random.choice(np.flatnonzero(voices == name)) for name in known])
        for test in range(len(tests)):
            if found.own[test, rows].any():
                continue  # The recording that the voice was enrolled from.
            order = np.argsort(-found.cosines[test, rows])
            best = rows[order[0]]
            cosines = found.cosines[test, rows][order]
            margin = 1.0 if size == 1 else cosines[0] - cosines[1]
            matched = reached[test, best] >= bound and margin >= config.margin
            if tests[test] in known:
                own += 1
                right += matched and voices[best] == tests[test]
                wrong += matched and voices[best] != tests[test]
            else:
                strange += 1
                strange_matched += matched
    return strange_matched / max(strange, 1), wrong / own, 1 - right / own


def _eer_line(seconds: float, found: Trials) -> None:
    value = equal_error(found.cosines[found.same], found.cosines[found.other])
    low, high = _interval(found)
    print(
        f"{seconds:>4} s, {found.same.sum():>5} same, {found.other.sum():>6} other: "
        f"{value:6.2%} ({low:.2%} to {high:.2%})",
        flush=True,
    )


def equal_error(same: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Where as many of one person are missed as of two are taken for one."""
    edges = np.sort(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), edges) / len(same)
    false = 1 - np.searchsorted(np.sort(other), edges) / len(other)
    at = int(np.argmin(np.abs(missed - false)))
    return float(missed[at] + false[at]) / 2


def _interval(found: Trials) -> tuple[float, float]:
    """Speakers are drawn with all that is theirs; two draws of one are one person, not two."""
    random = np.random.default_rng(0)
    names = sorted(set(found.voices))
    voices = {name: np.flatnonzero(np.array(found.voices) == name) for name in names}
    tests = {name: np.flatnonzero(np.array(found.tests) == name) for name in names}
    values = []
    for _ in range(_RESAMPLES if len(names) < 10 else 200):
        drawn = random.choice(names, len(names))
        if len(set(drawn)) < 2:
            continue
        grid = np.ix_(
            np.concatenate([tests[n] for n in drawn]), np.concatenate([voices[n] for n in drawn])
        )
        cosines, same, other = found.cosines[grid], found.same[grid], found.other[grid]
        values.append(equal_error(cosines[same], cosines[other]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


if __name__ == "__main__":
    main()
