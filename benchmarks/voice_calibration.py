"""What strangers reach, measured: the calibration of voiceprints.

    python -m benchmarks.voice_calibration FILE --data ../shared/data/librispeech \
        [--others ../shared/data/aishell3] [--archive demo/archive]

--data: a folder with one folder of clips for each person. --others: single clips of as many people.
The cohort is of the archive's customers with even numbers. What is printed is s-norm among people
who were left out of the strangers: of either folder, and as it is written (both count the same).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.shared import described
from benchmarks.voice_material import (
    Clip,
    Sound,
    customers,
    people,
    pieces,
    print_of,
    single_clips,
)
from persona_ray.config.corpus import VadConfig
from persona_ray.config.screening import VoiceConfig
from persona_ray.inference.screening.records import Channel
from persona_ray.inference.screening.voice_scores import (
    Calibration,
    ChannelCalibration,
    Strangers,
    write_calibration,
)
from persona_ray.inference.screening.voiceprint import Voiceprinter, build_voiceprinter

# A call is first asked about at this length.
_ASKED_S = 3.0


@dataclass(frozen=True)
class Crowd:
    """People of one folder: unit vectors of what a caller says (by person) and of enrolled
    voices."""

    heard: dict[str, Sound]
    enrolled: dict[str, Sound]

    @cached_property
    def means(self) -> dict[str, Sound]:
        """One unit vector of each person."""
        sums = {name: voices.mean(axis=0) for name, voices in self.enrolled.items()}
        return {name: total / np.linalg.norm(total) for name, total in sums.items()}


def crowd(clips: Sequence[Clip], printer: Voiceprinter) -> Crowd:
    """Who has one clip alone is heard and enrolled by all of it; others by clips of 3 s and more,
    and heard by pieces of 3 s."""
    names = sorted({clip.speaker for clip in clips})
    heard, enrolled = {}, {}
    for name in names:
        mine = [clip for clip in clips if clip.speaker == name]
        kept = [clip for clip in mine if clip.is_long] or mine
        enrolled[name] = np.stack([print_of(clip.speech, clip.rate_hz, printer) for clip in kept])
        heard[name] = enrolled[name]
        if len(mine) > 1:
            tests = [(piece, clip.rate_hz) for clip in kept for piece in pieces(clip, _ASKED_S)]
            heard[name] = np.stack([print_of(piece, rate, printer) for piece, rate in tests])
    return Crowd(heard, enrolled)


def strangers(crowds: Sequence[Crowd]) -> Strangers:
    """Of all crowds, with what those of each reach."""
    reached = [among(one, crowds) for one in crowds if len(one.means) > 1]
    level = float(np.mean([part.mean() for part in reached]))
    square = float(np.mean([np.mean(part**2) for part in reached]))
    return without(crowds, (), level, float(np.sqrt(square - level**2)))


def among(one: Crowd, crowds: Sequence[Crowd]) -> Sound:
    """s-norm of every two people of a crowd, both of them left out of the strangers."""
    return np.concatenate([part.ravel() for part in _pairs(one, crowds)])


def _pairs(one: Crowd, crowds: Sequence[Crowd]) -> Iterator[Sound]:
    for a, b in combinations(one.means, 2):
        others = without(crowds, (a, b))
        yield s_norms(others, one.heard[a], one.enrolled[b])
        yield s_norms(others, one.heard[b], one.enrolled[a])


def s_norms(known: Strangers, heard: Sound, enrolled: Sound) -> Sound:
    """Of tests (t, d) and voices (v, d): (t, v)."""
    return np.array([[known.s_norm(a, b) for b in enrolled] for a in heard], np.float32)


def without(
    crowds: Sequence[Crowd], names: Collection[str], level: float = 0.0, scale: float = 1.0
) -> Strangers:
    """Of all crowds but the people named, with what they are known to reach."""
    known = [mean for one in crowds for name, mean in one.means.items() if name not in names]
    return Strangers.of(np.stack(known), level, scale)


def cohort(clips: Sequence[Clip], printer: Voiceprinter) -> Sound:
    """The first 3 s of each clip."""
    firsts = [(piece, clip.rate_hz) for clip in clips for piece in pieces(clip, _ASKED_S, 1)]
    return np.stack([print_of(piece, rate_hz, printer) for piece, rate_hz in firsts])


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--others", type=Path)
    parser.add_argument("--archive", type=Path, default=Path("demo/archive"))
    arguments = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    printer = build_voiceprinter(VoiceConfig(), VadConfig())
    made = {}
    crowded = cohort(customers(arguments.archive, printer, odd=False), printer)
    for channel in Channel:
        folders = (
            people(arguments.data, printer, channel),
            single_clips(arguments.others, printer, channel),
        )
        crowds = [crowd(clips, printer) for clips in folders if clips]
        for one in crowds:
            reached = among(one, crowds)
            print(
                f"{channel}: {len(one.means)} people, {reached.mean():.2f} +- {reached.std():.2f}"
            )
        known = strangers(crowds)
        print(f"{channel}: written {known.level:.2f} +- {known.scale:.2f}")
        phone = channel is Channel.TELEPHONE
        made[channel] = ChannelCalibration(known, crowded if phone else crowded[:0])
    write_calibration(Calibration(printer.encoder.name, made), arguments.file)


if __name__ == "__main__":
    main()
