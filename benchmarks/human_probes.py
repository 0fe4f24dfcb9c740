"""What linear probes find in a speech tower's vectors of human speech; see speech_towers.py."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.shared import mean_over_groups
from persona_ray.audio.resample import resample

if TYPE_CHECKING:
    from persona_ray.models.tower import SpeechTower

Wave = NDArray[np.float32]
Vectors = NDArray[np.float32]
RATE_HZ, CALL_HZ = 16_000, 8_000
# So short, and learned from so few recordings, that not every tower knows everyone.
PIECE_S = 1.0
SHARES = 5
BATCH = 40
# Median pitch: below are men, above women, who lies between is not asked about.
MAN_HZ, WOMAN_HZ = 150.0, 180.0
CONDITIONS = (("clean", "clean"), ("mu-law", "mu-law"), ("clean", "mu-law"))


def probe_humans(folder: Path, towers: Mapping[str, SpeechTower]) -> None:
    """Speakers of LibriSpeech, from a fifth of their recordings; sex of people never heard."""
    recordings = list(human_recordings(folder))
    pitch = {who: voice_hz(wave) for who, wave in one_each(recordings)}
    sexes = {who: hz < MAN_HZ for who, hz in pitch.items() if not MAN_HZ <= hz < WOMAN_HZ}
    readers = {who for who in pitch if who.isdigit()}
    print(
        f"{len(recordings)} recordings of {len(pitch)} people, pieces of {PIECE_S:g} s. Speaker: "
        f"{len(readers)} of LibriSpeech, learned from a fifth of the recordings, asked about the "
        f"others. Sex: {sum(sexes.values())} men, {len(sexes) - sum(sexes.values())} women by "
        "median pitch, each left out in turn, all pieces together."
    )
    print(f"{'tower':12s} {'learned -> asked':18s} {'speaker, pieces':>24s}  sex: men, women")
    for name, tower in towers.items():
        found = {
            "clean": embed(tower, recordings),
            "mu-law": embed(tower, [(who, over_telephone(wave)) for who, wave in recordings]),
        }
        for learned, asked in CONDITIONS:
            speakers = speaker_probe(found[learned], found[asked], readers)
            men, women = sex_probe(found[learned], found[asked], sexes)
            said = f"{sum(men)} of {len(men)}, {sum(women)} of {len(women)}"
            print(f"{name:12s} {f'{learned} -> {asked}':18s} {speakers}  {said}", flush=True)


def human_recordings(folder: Path) -> Iterator[tuple[str, Wave]]:
    """(person, samples at 16 kHz): LibriSpeech's people are numbers, AISHELL-3's are not."""
    import soundfile

    for file in sorted(folder.glob("librispeech/*/*.flac")):
        yield file.parent.name, soundfile.read(file, dtype="float32")[0]
    for file in sorted(folder.glob("aishell3/*.flac")):
        yield file.stem[:7], soundfile.read(file, dtype="float32")[0]


def one_each(recordings: Sequence[tuple[str, Wave]]) -> Iterator[tuple[str, Wave]]:
    for person in dict.fromkeys(who for who, _ in recordings):
        yield person, np.concatenate([wave for who, wave in recordings if who == person])


def voice_hz(wave: Wave) -> float:
    """Median pitch of the voiced frames, by autocorrelation between 60 and 350 Hz."""
    window = np.hanning(640)
    frames = np.lib.stride_tricks.sliding_window_view(wave, 640)[::320] * window
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2048)) ** 2)[:, :640]
    energy = np.maximum(correlation[:, 0], 1e-9)
    lags = np.arange(RATE_HZ // 350, RATE_HZ // 60)
    # The window's own correlation falls with the lag: divided out, all lags count alike.
    fall = np.fft.irfft(np.abs(np.fft.rfft(window, 2048)) ** 2)[:640]
    ratio = correlation[:, lags] / energy[:, None] * (fall[0] / fall[lags])
    # Of nearly equal peaks the first: the others are its multiples.
    best = ratio.max(axis=1, keepdims=True)
    first = lags[(ratio > 0.9 * best).argmax(axis=1)]
    voiced = (best[:, 0] > 0.6) & (energy > np.percentile(energy, 60))
    return float(np.median(RATE_HZ / first[voiced]))


def over_telephone(wave: Wave) -> Wave:
    """Through 8 kHz G.711 mu-law and back to 16 kHz."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, resample(wave, RATE_HZ, CALL_HZ), CALL_HZ, format="WAV", subtype="ULAW")
    file.seek(0)
    return resample(soundfile.read(file, dtype="float32")[0], CALL_HZ, RATE_HZ)[: len(wave)]


class Pieces:
    """`vectors` (pieces, layers x features), and each piece's person and recording."""

    def __init__(self, vectors: Vectors, people: list[str], recordings: list[int]) -> None:
        self.vectors = vectors
        self.people = np.array(people)
        self.recordings = np.array(recordings)


@torch.inference_mode()
def embed(tower: SpeechTower, recordings: Sequence[tuple[str, Wave]]) -> Pieces:
    size = round(PIECE_S * tower.sample_rate_hz)
    pieces, people, numbers = [], [], []
    for number, (who, wave) in enumerate(recordings):
        there = resample(wave, RATE_HZ, tower.sample_rate_hz)
        for start in range(0, len(there) - size + 1, size):
            pieces.append(there[start : start + size])
            people.append(who)
            numbers.append(number)
    rows = []
    for start in range(0, len(pieces), BATCH):
        batch = torch.from_numpy(np.stack(pieces[start : start + BATCH]))
        rows.append(tower.pooled(batch, torch.full((len(batch),), size)).flatten(1).numpy())
    return Pieces(np.concatenate(rows), people, numbers)


def speaker_probe(learned: Pieces, asked: Pieces, readers: set[str]) -> str:
    from sklearn.model_selection import StratifiedGroupKFold

    at = np.flatnonzero(np.isin(learned.people, sorted(readers)))
    people, recordings = learned.people[at], learned.recordings[at]
    right: dict[int, list[float]] = {}
    split = StratifiedGroupKFold(SHARES, shuffle=True, random_state=0)
    for others, own in split.split(at, people, recordings):
        model = classifier().fit(learned.vectors[at[own]], people[own])
        hits = model.predict(asked.vectors[at[others]]) == people[others]
        for recording, hit in zip(recordings[others], hits, strict=True):
            right.setdefault(int(recording), []).append(float(hit))
    return mean_over_groups(list(right.values()))


def sex_probe(
    learned: Pieces, asked: Pieces, sexes: Mapping[str, bool]
) -> tuple[list[bool], list[bool]]:
    """Whether each man and each woman was recognised."""
    answers: dict[bool, list[bool]] = {True: [], False: []}
    chosen = np.isin(learned.people, sorted(sexes))
    man = np.array([sexes.get(who, False) for who in learned.people])
    weight = 1 / np.array([np.sum(learned.people == who) for who in learned.people])
    for who, truth in sexes.items():
        train = chosen & (learned.people != who)
        # People count alike, men as much as women.
        each = weight * np.where(man, 1 / weight[train & man].sum(), 1 / weight[train & ~man].sum())
        each *= train.sum() / each[train].sum()
        model = classifier()
        model.fit(learned.vectors[train], man[train], logisticregression__sample_weight=each[train])
        score = model.decision_function(asked.vectors[asked.people == who]).mean()
        answers[truth].append(bool((score > 0) == truth))
    return answers[True], answers[False]


def classifier() -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300))
