"""How much a synthetic archive gives away: cheap classifiers on true texts and true borders.

    python -m benchmarks.probe_archive demo/archive

Character n-grams and log-mel statistics, logistic regression, split by customer (5 folds, 3
shuffles). What the product's own model reaches is in its report; this says what there is to find.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.shared import described
from persona_ray.audio.resample import resample
from persona_ray.synth.grammar import COLOURS
from persona_ray.synth.truth import TruthUtterance, read_calls, read_utterances

Matrix = NDArray[np.float64]
RATE_HZ = 8000
FRAME, HOP, BANDS = 256, 80, 32


@dataclass(frozen=True)
class Sentences:
    """Sentences of usable calls: texts, features (n, d), colours and customers (n,)."""

    texts: list[str]
    audio: Matrix
    colours: NDArray[np.int64]
    customers: NDArray[np.str_]
    seconds: float


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("archive", type=Path, help="its folder")
    sentences = load(parser.parse_args().archive)
    print(
        f"{len(sentences.texts)} sentences of {len(set(sentences.customers))} customers in usable "
        f"calls, {sentences.seconds / 60:.1f} min; chance 25 %"
    )
    by_text, by_audio = out_of_fold(sentences)
    for name, scores in (("text", by_text), ("audio", by_audio), ("both", by_text + by_audio)):
        one, whole = accuracies(scores, sentences)
        print(f"{name:6s} per sentence {one:6.1%}   per customer {whole:6.1%}")


def load(archive: Path) -> Sentences:
    """Every usable customer sentence, cut from the recordings at its true borders."""
    import soundfile

    with sqlite3.connect(archive / "business.sqlite") as connection:
        uris = dict(connection.execute("SELECT call_id, audio_uri FROM calls"))
    usable = {call.call_id for call in read_calls(archive) if call.expected == "ok"}
    rows = [r for r in read_utterances(archive) if r.call_id in usable and r.leaning is not None]
    cut: list[tuple[TruthUtterance, Matrix, float]] = []
    opened, samples = "", np.zeros((0, 2), np.float32)
    for row in rows:
        if row.call_id != opened:
            raw, rate_hz = soundfile.read(
                archive / uris[row.call_id], dtype="float32", always_2d=True
            )
            opened, samples = row.call_id, resample(raw.T, rate_hz, RATE_HZ).T
        piece = samples[round(row.start_s * RATE_HZ) : round(row.end_s * RATE_HZ), row.channel]
        cut.append((row, features(piece), piece.size / RATE_HZ))
    return Sentences(
        texts=[row.text for row, _, _ in cut],
        audio=np.stack([vector for _, vector, _ in cut]),
        colours=np.array([COLOURS.index(str(row.colour)) for row, _, _ in cut]),
        customers=np.array([str(row.customer_id) for row, _, _ in cut]),
        seconds=sum(seconds for _, _, seconds in cut),
    )


def features(samples: NDArray[np.float32]) -> Matrix:
    """Log-mel means, deviations and steps, pitch, rate of energy peaks, share of speech: (d,)."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP] * np.hanning(FRAME)
    power = np.abs(np.fft.rfft(frames)) ** 2
    mel = np.log(power @ mel_bands().T + 1e-6)
    energy = mel.mean(axis=1)
    loud = energy > np.percentile(energy, 95) - 4
    correlation = np.fft.irfft(np.abs(np.fft.rfft(frames, 2 * FRAME)) ** 2)[:, :200]
    lag = correlation[:, 20:115].argmax(axis=1) + 20
    voiced = loud & (correlation[np.arange(len(lag)), lag] > 0.4 * correlation[:, 0])
    pitch = np.log(RATE_HZ / lag[voiced]) if voiced.sum() > 5 else np.array([5.0])
    window = np.hanning(9)
    smooth = np.convolve(energy, window / window.sum(), "same")
    peaks = (smooth[1:-1] > smooth[:-2]) & (smooth[1:-1] > smooth[2:]) & loud[1:-1]
    steps = np.abs(np.diff(mel, axis=0)).mean(axis=0)[::4]
    rest = [pitch.mean(), pitch.std(), *np.percentile(pitch, [10, 90])]
    rest += [peaks.sum() / len(energy), loud.mean(), peaks.sum() / max(1, loud.sum())]
    return np.concatenate([mel.mean(axis=0), mel.std(axis=0), steps, rest])


def mel_bands() -> Matrix:
    """Triangular filters (BANDS, FRAME // 2 + 1) from 200 to 3600 Hz, HTK's mel scale."""
    hz = np.fft.rfftfreq(FRAME, 1 / RATE_HZ)
    low, high = (2595 * np.log10(1 + edge_hz / 700) for edge_hz in (200, 3600))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    rise = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(0, np.minimum(rise, fall)))


def out_of_fold(sentences: Sentences) -> tuple[Matrix, Matrix]:
    """Log-probabilities (shuffles, n, 4) of text and of audio, never from the customer's fold."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    texts, colours = np.array(sentences.texts), sentences.colours
    by_text = np.zeros((3, len(texts), len(COLOURS)))
    by_audio = np.zeros_like(by_text)
    for shuffle in range(3):
        folds = StratifiedGroupKFold(5, shuffle=True, random_state=shuffle)
        for train, test in folds.split(texts, colours, sentences.customers):
            words = make_pipeline(
                TfidfVectorizer(analyzer="char", ngram_range=(1, 3), min_df=2, sublinear_tf=True),
                LogisticRegression(C=3, max_iter=500),
            ).fit(texts[train], colours[train])
            sound = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500)).fit(
                sentences.audio[train], colours[train]
            )
            by_text[shuffle, test] = words.predict_log_proba(texts[test])
            by_audio[shuffle, test] = sound.predict_log_proba(sentences.audio[test])
    return by_text, by_audio


def accuracies(scores: Matrix, sentences: Sentences) -> tuple[float, float]:
    """Share of sentences, and of customers by the sum over their sentences, that are right."""
    whole = []
    for customer in sorted(set(sentences.customers)):
        own = sentences.customers == customer
        whole.append(scores[:, own].sum(axis=1).argmax(axis=1) == sentences.colours[own][0])
    return float((scores.argmax(axis=2) == sentences.colours).mean()), float(np.mean(whole))


if __name__ == "__main__":
    main()
