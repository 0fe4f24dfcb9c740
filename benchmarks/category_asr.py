"""What speech recognition costs the category model.

    python -m benchmarks.category_asr --voices-folder VOICES --bundle runs/category/category/bundle

Of the dialogues that the bundle was judged by, as many of each category are drawn as `--each` says.
Their callers' turns are spoken by Kokoro (a woman's and a man's voice in turn), coded as a
telephone line does (8 kHz, mu-law), and recognised by the recogniser of the configuration. Both
texts are judged by the same bundle, after the first turn and after `--turns`. What was recognised
is kept in `--out`, so that a killed run goes on, and one with more dialogues too; `--minutes` ends
it early, with the dialogues there are.

Figures are of recognised text beside the written one, on the same dialogues; the loss has a 95 %
interval (bootstrap over dialogues, paired).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.shared import arguments
from persona_ray.asr.text import normalise
from persona_ray.audio.g711 import decode_mulaw, encode_mulaw
from persona_ray.audio.resample import resample
from persona_ray.config import load_config
from persona_ray.corpus.dialogues import Dialogue, deal, read_dialogues, so_far
from persona_ray.inference.screening.categories import CategoryReader
from persona_ray.inference.screening.ears import HearingEars, build_ears
from persona_ray.models.manifest import read_contract
from persona_ray.tts.base import Synthesizer, Voice
from persona_ray.tts.kokoro import KokoroSynthesizer
from persona_ray.types import Split

RATE_HZ = 8000
VOICES = (Voice("woman", "female"), Voice("man", "male"))
RESAMPLES = 2000


def drawn(found: Sequence[Dialogue], each: int) -> list[Dialogue]:
    """So many of each category, by a hash of their ids: more are the same and others."""
    by_category: dict[str, list[Dialogue]] = defaultdict(list)
    for dialogue in sorted(found, key=lambda d: hashlib.sha256(d.id.encode()).digest()):
        by_category[dialogue.category].append(dialogue)
    # Of each category in turn, so that a run that is cut short has some of all.
    rounds = range(each)
    return [part[at] for at in rounds for part in by_category.values() if at < len(part)]


def recognised(
    dialogue: Dialogue, turns: int, ears: HearingEars, mouth: Synthesizer, out: Path
) -> list[str]:
    """What is recognised of each of the caller's first turns."""
    kept = out / f"{hashlib.sha256(dialogue.id.encode()).hexdigest()[:16]}.json"
    known: list[str] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else []
    voice = VOICES[hashlib.sha256(dialogue.id.encode()).digest()[0] % len(VOICES)]
    for text in dialogue.caller[len(known) : turns]:
        samples, rate_hz = mouth.synthesize(text, voice, 1.0)
        line = decode_mulaw(encode_mulaw(resample(samples, rate_hz, RATE_HZ)))
        known.append(asyncio.run(ears.text(line, RATE_HZ)))
        kept.write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
    return known[:turns]


def character_errors(said: Sequence[str], heard: Sequence[str]) -> float:
    import jiwer

    return float(jiwer.cer([normalise(text) for text in said], [normalise(t) for t in heard]))


def macro_f1(truth: np.ndarray, guess: np.ndarray, labels: int) -> float:
    values = []
    for label in range(labels):
        both = int((truth == label).sum()) + int((guess == label).sum())
        if both:
            values.append(2 * int(((truth == label) & (guess == label)).sum()) / both)
    return float(np.mean(values))


def compared(
    reader: CategoryReader, chosen: Sequence[Dialogue], heard: Sequence[Sequence[str]], turns: int
) -> str:
    index = {label: at for at, label in enumerate(reader.labels)}
    truth = np.array([index[dialogue.category] for dialogue in chosen])
    guesses = []
    for texts in ([d.caller[:turns] for d in chosen], [row[:turns] for row in heard]):
        rows = reader.probabilities([so_far(text) for text in texts])
        matrix = np.array([[row[label] for label in reader.labels] for row in rows])
        guesses.append(matrix.argmax(axis=1))
    count = len(reader.labels)
    written, spoken = (macro_f1(truth, guess, count) for guess in guesses)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(RESAMPLES):
        at = random.integers(0, len(truth), len(truth))
        parts = [macro_f1(truth[at], guess[at], count) for guess in guesses]
        losses.append(parts[0] - parts[1])
    low, high = np.quantile(losses, [0.025, 0.975])
    same = float((guesses[0] == guesses[1]).mean())
    return (
        f"after {turns} turn(s): macro-F1 written {written:.3f}, recognised {spoken:.3f}, loss "
        f"{written - spoken:+.3f} ({low:+.3f} to {high:+.3f}); the same category {same:.1%}"
    )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("runs/category/category/bundle"))
    parser.add_argument("--dialogues", type=Path, default=Path("runs/teleantifraud.jsonl.gz"))
    parser.add_argument("--out", type=Path, default=Path("runs/category-asr"))
    parser.add_argument("--voices-folder", type=Path, required=True, help="Kokoro's voices")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--each", type=int, default=10, help="dialogues of each category")
    parser.add_argument("--turns", type=int, default=1, help="of the caller")
    chosen = parser.parse_args()
    config = load_config(chosen.config, chosen.overrides)
    splits = read_contract(chosen.bundle).training["splits"]
    assert isinstance(splits, dict)
    found = read_dialogues([chosen.dialogues])
    test, dev = (float(str(splits[part])) for part in ("test", "dev"))
    held_out = deal(found, test, dev, str(splits["salt"]))
    tests = drawn([d for d in found if held_out[d.id] is Split.TEST], chosen.each)
    chosen.out.mkdir(parents=True, exist_ok=True)
    ears, mouth = build_ears(config), KokoroSynthesizer(chosen.voices_folder)
    started = time.perf_counter()
    heard = []
    for number, dialogue in enumerate(tests, 1):
        heard.append(recognised(dialogue, chosen.turns, ears, mouth, chosen.out))
        taken = time.perf_counter() - started
        print(f"{number} of {len(tests)}, {taken:.0f} s", file=sys.stderr)
        if taken > 60 * chosen.minutes:
            break
    tests = tests[: len(heard)]
    reader = CategoryReader.load(chosen.bundle)
    said = [text for d in tests for text in d.caller[: chosen.turns]]
    errors = character_errors(said, [text for row in heard for text in row])
    print(f"{len(tests)} dialogues, {len(said)} turns by {mouth.name}, 8 kHz mu-law, {ears.name}: ")
    print(f"character errors {errors:.1%}")
    for turns in sorted({1, chosen.turns}):
        print(compared(reader, tests, heard, turns))


if __name__ == "__main__":
    main()
