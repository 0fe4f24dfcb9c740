"""Voiceprint trials: human voices, then the demo archive's, at 8 kHz mu-law.

    python -m benchmarks.voice_trials --data ../shared/data/librispeech \
        [--others ../shared/data/aishell3] [--archive demo/archive] [--calibrate FILE]

--data: a folder with one folder of clips for each speaker. A voice is enrolled from one clip and
tried against `seconds` of speech of the others. --others: single clips of as many strangers. The
archive's customers with odd numbers are tried; the cohort is of those with even numbers.
--calibrate writes what screening.voice.calibration reads: strangers from --data, as far apart as
those of --others; the cohort from the archive.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from persona_ray.audio.decode import read_audio
from persona_ray.audio.g711 import decode_mulaw, encode_mulaw
from persona_ray.audio.resample import resample
from persona_ray.config.corpus import VadConfig
from persona_ray.config.screening import VoiceConfig
from persona_ray.inference.screening.records import Channel
from persona_ray.inference.screening.voice_scores import (
    Calibration,
    ChannelCalibration,
    build_calibration,
    write_calibration,
)
from persona_ray.inference.screening.voiceprint import Voiceprinter, build_voiceprinter

SECONDS = (1.5, 2.0, 3.0, 5.0, 8.0)
_PHONE_HZ = 8000
_WINDOWS = 4
_RESAMPLES = 1000
Floats = NDArray[np.float64]
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Clip:
    """Speech of one person without silence; a voice is not tried against its own recording."""

    speaker: str
    name: str
    speech: Sound
    rate_hz: int


@dataclass(frozen=True)
class Trials:
    """Every voice against every test (voices, tests): cosine, and whether they are of one person,
    of two, or of one recording (neither)."""

    cosines: NDArray[np.float32]
    same: NDArray[np.bool_]
    other: NDArray[np.bool_]
    voices: tuple[str, ...]
    tests: tuple[str, ...]
    enrolled: NDArray[np.float32]
    heard: NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--archive", type=Path, default=Path("demo/archive"))
    parser.add_argument("--calibrate", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(arguments.threads)
    config = VoiceConfig()
    printer = build_voiceprinter(config, VadConfig())
    human = {channel: _people(arguments.data, printer, channel) for channel in Channel}
    customers = _customers(arguments.archive, printer)
    if arguments.calibrate:
        cohort = _cohort(customers, printer)
        made = {
            channel: ChannelCalibration(
                _wider(_strangers(human[channel], printer), arguments.others, printer, channel),
                cohort if channel is Channel.TELEPHONE else cohort[:0],
            )
            for channel in Channel
        }
        write_calibration(Calibration(printer.encoder.name, made), arguments.calibrate)
    calibration = build_calibration(config, printer.encoder.name)
    _report(human, customers, arguments, printer, calibration, config)


def _report(
    human: dict[Channel, list[Clip]],
    customers: list[Clip],
    arguments: argparse.Namespace,
    printer: Voiceprinter,
    calibration: Calibration,
    config: VoiceConfig,
) -> None:
    print("equal error rate, one clip against seconds of speech (95 % over speakers)")
    print(f"{'voices':20} {'channel':10} {'s':>4} {'same':>6} {'other':>7}  EER")
    for channel in Channel:
        for seconds in SECONDS:
            _eer_line(
                arguments.data.name, channel, seconds, _trials(human[channel], seconds, printer)
            )
    tried = [clip for clip in customers if _number(clip.speaker) % 2]
    for seconds in SECONDS[2:]:
        _eer_line("demo archive", Channel.TELEPHONE, seconds, _trials(tried, seconds, printer))
    print(f"\nat the shipped threshold ({config.false_matches:.1%} false matches)")
    print(
        f"{'voices':20} {'channel':10} {'s':>4} {'library':>7} {'false':>8} {'wrong':>8}"
        f" {'missed':>8}"
    )
    for name, clips, libraries in (
        (arguments.data.name, human[Channel.TELEPHONE], (2, 4)),
        ("demo archive", tried, (1, 10, 20)),
    ):
        for seconds in (3.0, 5.0, 8.0):
            found = _trials(clips, seconds, printer)
            for size in libraries:
                rates = _screen(found, size, seconds, calibration, config)
                print(_row(name, Channel.TELEPHONE, seconds, size, rates), flush=True)
    wide = _trials(human[Channel.WIDEBAND], 3.0, printer)
    rates = _screen(wide, 2, 3.0, calibration, config, Channel.WIDEBAND)
    print(_row(arguments.data.name, Channel.WIDEBAND, 3.0, 2, rates))
    print("\nmissed at 3 s of telephone speech, by the number of voices in the libraries")
    found = _trials(human[Channel.TELEPHONE], 3.0, printer)
    for size in (1, 10, 100, 1000, 10_000, 1_000_000):
        missed = _missed(found, size, 3.0, calibration, config)
        longer = _missed(
            _trials(human[Channel.TELEPHONE], 8.0, printer), size, 8.0, calibration, config
        )
        print(f"{size:>9} {missed:7.1%}   8 s: {longer:7.1%}")
    if arguments.others:
        _strange(arguments.others, printer, calibration)


def _strange(folder: Path, printer: Voiceprinter, calibration: Calibration) -> None:
    """How far single clips of strangers reach, as deviations, and who is taken for whom."""
    for channel in Channel:
        pairs = list(_pairs(folder, printer, channel))
        known = calibration.channels[channel]
        reached = np.array([known.deviation(float(a @ b), length) for a, b, length in pairs])
        chances = np.array([calibration.chance(a, b, s, channel, 1) for a, b, s in pairs])
        print(
            f"\nstrangers of {folder.name}, {channel}: {len(pairs)} pairs, u mean "
            f"{reached.mean():.2f}, deviation {reached.std():.2f}, largest {reached.max():.2f}; "
            f"{(chances <= 0.005).sum()} pairs are taken for one person"
        )


def _pairs(
    folder: Path, printer: Voiceprinter, channel: Channel
) -> Iterator[tuple[Sound, Sound, float]]:
    """Voiceprints of every two clips, and the seconds of the shorter."""
    clips = [_clip(path.stem, path, printer, channel) for path in sorted(folder.glob("*.flac"))]
    prints = [_print(clip.speech, clip.rate_hz, printer) for clip in clips]
    for i, one in enumerate(clips):
        for j in range(i):
            length = min(len(one.speech), len(clips[j].speech)) / one.rate_hz
            yield prints[i], prints[j], length


def _wider(
    strangers: NDArray[np.float32], others: Path | None, printer: Voiceprinter, channel: Channel
) -> NDArray[np.float32]:
    """`strangers` as far as those of --others reach: moved and widened alike at all lengths."""
    if others is None:
        return strangers
    known = ChannelCalibration(strangers, np.zeros((0, printer.encoder.size), np.float32))
    pairs = _pairs(others, printer, channel)
    reached = np.array([known.deviation(float(a @ b), length) for a, b, length in pairs])
    seconds, mean, deviation = strangers.T
    moved = mean + max(0.0, float(reached.mean())) * deviation
    return np.stack([seconds, moved, deviation * max(1.0, float(reached.std()))], axis=1)


def _row(name: str, channel: Channel, seconds: float, size: int, rates: Sequence[float]) -> str:
    shown = " ".join(f"{rate:8.2%}" for rate in rates)
    return f"{name:20} {channel:10} {seconds:4} {size:7} {shown}"


def _eer_line(name: str, channel: Channel, seconds: float, found: Trials) -> None:
    value = equal_error(found.cosines[found.same], found.cosines[found.other])
    low, high = _interval(found, equal_error)
    print(
        f"{name:20} {channel:10} {seconds:4} {found.same.sum():6} {found.other.sum():7}  "
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


def _interval(
    found: Trials, figure: Callable[[NDArray[np.float32], NDArray[np.float32]], float]
) -> tuple[float, float]:
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
        values.append(figure(cosines[same], cosines[other]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def _screen(
    found: Trials,
    size: int,
    seconds: float,
    calibration: Calibration,
    config: VoiceConfig,
    channel: Channel = Channel.TELEPHONE,
) -> tuple[float, float, float]:
    """Libraries of `size` persons, drawn 20 times, one recording each: the shares of calls by
    others that are matched, of calls by them that are matched to somebody else, and missed."""
    random = np.random.default_rng(0)
    names, voices, tests = sorted(set(found.voices)), np.array(found.voices), np.array(found.tests)
    strangers = strangers_matched = own = wrong = right = 0
    for _ in range(20):
        people = random.choice(names, size, replace=False)
        rows = np.array([random.choice(np.flatnonzero(voices == name)) for name in people])
        for test in range(len(tests)):
            if not (found.same[test, rows] | found.other[test, rows]).all():
                continue  # The recording that the voice was enrolled from.
            cosines = found.cosines[test, rows]
            order = np.argsort(-cosines)
            best = rows[order[0]]
            margin = 1.0 if size == 1 else cosines[order[0]] - cosines[order[1]]
            chance = calibration.chance(
                found.heard[test], found.enrolled[best], seconds, channel, size
            )
            matched = chance <= config.false_matches and margin >= config.margin
            if tests[test] in people:
                own += 1
                right += matched and voices[best] == tests[test]
                wrong += matched and voices[best] != tests[test]
            else:
                strangers += 1
                strangers_matched += matched
    return strangers_matched / max(strangers, 1), wrong / own, 1 - right / own


def _missed(
    found: Trials, size: int, seconds: float, calibration: Calibration, config: VoiceConfig
) -> float:
    """The share of a person's own trials that libraries of `size` voices would miss."""
    chances = [
        calibration.chance(
            found.heard[test], found.enrolled[voice], seconds, Channel.TELEPHONE, size
        )
        for test, voice in np.argwhere(found.same)
    ]
    return float(np.mean(np.array(chances) > config.false_matches))


def _trials(clips: Sequence[Clip], seconds: float, printer: Voiceprinter) -> Trials:
    """Each clip as a voice, against up to four windows of each clip."""
    kept = [clip for clip in clips if len(clip.speech) >= 3 * clip.rate_hz]
    tests = [(clip, piece) for clip in kept for piece in _windows(clip, seconds)]
    enrolled = np.stack([_print(clip.speech, clip.rate_hz, printer) for clip in kept])
    heard = np.stack([_print(piece, clip.rate_hz, printer) for clip, piece in tests])
    speaker = np.array([[a.speaker == b.speaker for b in kept] for a, _ in tests])
    own = np.array([[a is b for b in kept] for a, _ in tests])
    return Trials(
        cosines=heard @ enrolled.T,
        same=speaker & ~own,
        other=~speaker,
        voices=tuple(clip.speaker for clip in kept),
        tests=tuple(clip.speaker for clip, _ in tests),
        enrolled=enrolled,
        heard=heard,
    )


def _windows(clip: Clip, seconds: float) -> Iterator[Sound]:
    width = round(seconds * clip.rate_hz)
    for index in range(min(_WINDOWS, len(clip.speech) // width)):
        yield clip.speech[index * width : (index + 1) * width]


_PRINTS: dict[bytes, Sound] = {}


def _print(speech: Sound, rate_hz: int, printer: Voiceprinter) -> Sound:
    key = speech.tobytes()
    if key not in _PRINTS:
        encoder = printer.encoder
        _PRINTS[key] = encoder.print_of(resample(speech, rate_hz, encoder.rate_hz))
    return _PRINTS[key]


def _strangers(clips: list[Clip], printer: Voiceprinter) -> NDArray[np.float32]:
    rows = []
    for seconds in SECONDS:
        found = _trials(clips, seconds, printer)
        cosines = found.cosines[found.other]
        rows.append([seconds, cosines.mean(), cosines.std()])
    return np.array(rows, np.float32)


def _cohort(customers: list[Clip], printer: Voiceprinter) -> NDArray[np.float32]:
    """The first 3 s of each call of the even customers."""
    even = [clip for clip in customers if _number(clip.speaker) % 2 == 0]
    firsts = [next(_windows(clip, 3.0), None) for clip in even]
    return np.stack(
        [
            _print(first, clip.rate_hz, printer)
            for clip, first in zip(even, firsts, strict=True)
            if first is not None
        ]
    )


def _people(folder: Path, printer: Voiceprinter, channel: Channel) -> list[Clip]:
    return [
        _clip(path.parent.name, path, printer, channel) for path in sorted(folder.glob("*/*.flac"))
    ]


def _clip(speaker: str, path: Path, printer: Voiceprinter, channel: Channel) -> Clip:
    audio = read_audio(path.name, str(path.parent))
    samples, rate_hz = audio.samples[0], audio.sample_rate_hz
    if channel is Channel.TELEPHONE:
        samples, rate_hz = (
            decode_mulaw(encode_mulaw(resample(samples, rate_hz, _PHONE_HZ))),
            _PHONE_HZ,
        )
    return Clip(speaker, path.stem, printer.speech(samples, rate_hz), rate_hz)


def _customers(archive: Path, printer: Voiceprinter) -> list[Clip]:
    """One clip for each usable call: the customer's channel at 8 kHz mu-law."""
    clips = []
    for line in (archive / "truth" / "calls.jsonl").read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        path = next((archive / "audio").glob(f"*/{call['call_id']}.*"), None)
        if path is None or call["expected"] != "ok":
            continue
        audio = read_audio(path.name, str(path.parent))
        samples = audio.samples[call["true_customer_channel"]]
        line_sound = decode_mulaw(encode_mulaw(resample(samples, audio.sample_rate_hz, _PHONE_HZ)))
        clips.append(
            Clip(
                call["customer_id"],
                call["call_id"],
                printer.speech(line_sound, _PHONE_HZ),
                _PHONE_HZ,
            )
        )
    return clips


def _number(customer_id: str) -> int:
    return int(customer_id[1:])


if __name__ == "__main__":
    main()
