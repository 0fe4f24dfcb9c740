"""How human sentences sound, whose voice a channel holds, and what hearing costs.

    python -m benchmarks.assist_hearing ../shared/data/aishell3

FOLDER holds audio files of one speaker each and `transcripts.tsv` (file, speaker, text). Printed:

- features of the sentences at 8 kHz, and their spread from speaker to speaker;
- for each way from the agent's loudspeaker to the customer's channel, how many of the agent's
  sentences are told to be echoes, at gains of -6 to -25 dB and delays of 0 to 0.28 s; and of
  sentences of two people at once, and of pieces of 0.25 to 0.6 s, how many are taken for one;
- of an echo that is answered 0.3 s later: how many answers are kept whole (within 0.25 s);
- seconds of one thread for a sentence, by stage.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from benchmarks.shared import described
from persona_ray.asr.build import build_recognizer
from persona_ray.audio.prosody import prosody
from persona_ray.audio.resample import resample
from persona_ray.audio.vad import Span, VoiceActivity
from persona_ray.config import load_config
from persona_ray.conversation import Speaker
from persona_ray.inference.assist.crosstalk import own_speech
from persona_ray.inference.assist.ears import RecognizerEars
from persona_ray.inference.assist.records import NotHeard
from persona_ray.serving.live.endpoint import Utterance
from persona_ray.types import Word

RATE_HZ = 8000
GAINS_DB, DELAYS_S = (-6, -15, -25), (0.0, 0.02, 0.08, 0.28)
Wave = NDArray[np.float32]
RUN = load_config(None, [])
VOICE = VoiceActivity(RUN.vad)


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--costs", action="store_true", help="seconds alone")
    arguments = parser.parse_args()
    said = list(_read(arguments.folder))
    waves = [wave for wave, _ in said]
    if not arguments.costs:
        _features(said)
        _echoes(waves)
        _both(waves)
        _answers(waves)
    _costs(waves)


def _read(folder: Path) -> Iterator[tuple[Wave, str]]:
    for line in (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines():
        name, _, text = line.split("\t")
        samples, rate_hz = soundfile.read(folder / name, dtype="float32")
        yield resample(samples, rate_hz, RATE_HZ), text


def _stretch(wave: Wave, speech: tuple[Span, ...] | None = None) -> Utterance:
    found = VOICE.speech(wave, RATE_HZ) if speech is None else speech
    return Utterance(wave, RATE_HZ, 0.0, found)


def _features(said: list[tuple[Wave, str]]) -> None:
    rows = []
    for wave, text in said:
        words = (Word(text, 0.0, len(wave) / RATE_HZ),)
        sound, _ = prosody(wave, RATE_HZ, VOICE.speech(wave, RATE_HZ), words)
        pitch_st = 12 * np.log2(sound.pitch_hz / 100)
        rows.append((pitch_st, sound.range_st, sound.level_db, np.log2(sound.rate), sound.pause))
    names = ("pitch, st over 100 Hz", "range, st", "level, dBFS", "rate, log2", "pause")
    print(f"{len(rows)} sentences, a speaker each\n{'feature':24} median  spread")
    for name, values in zip(names, np.array(rows).T, strict=True):
        print(f"{name:24} {np.median(values):6.2f} {values.std():7.2f}")


def _room(decay_s: float, direct: float) -> Callable[[Wave], Wave]:
    def play(wave: Wave) -> Wave:
        random = np.random.default_rng(0)
        count = round(decay_s * RATE_HZ)
        response = random.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
        response[0] = direct
        found = np.convolve(wave, response / np.linalg.norm(response))[: len(wave)]
        return found.astype(np.float32)

    return play


def _band(wave: Wave) -> Wave:
    band = butter(4, (300, 3400), "band", fs=RATE_HZ, output="sos")
    return np.asarray(sosfilt(band, wave), dtype=np.float32)


def _gsm(wave: Wave) -> Wave:
    buffer = io.BytesIO()
    soundfile.write(buffer, _band(wave), RATE_HZ, format="WAV", subtype="GSM610")
    buffer.seek(0)
    found: Wave = soundfile.read(buffer, dtype="float32")[0]
    return found[: len(wave)]


def _noisy(wave: Wave) -> Wave:
    found = _band(wave)
    noise = np.random.default_rng(0).standard_normal(len(found))
    return np.asarray(found + noise * np.sqrt(np.mean(found**2) / 10), dtype=np.float32)


WAYS: dict[str, Callable[[Wave], Wave]] = {
    "as it is": lambda wave: wave,
    "telephone band": _band,
    "GSM, after the band": _gsm,
    "band, noise at 10 dB": _noisy,
    "room, 0.3 s": _room(0.3, 8.0),
    "large room, 0.4 s": _room(0.4, 3.0),
}


def _late(wave: Wave, way: Callable[[Wave], Wave], gain_db: float, delay_s: float) -> Wave:
    late = np.concatenate([np.zeros(round(delay_s * RATE_HZ), np.float32), wave])
    return (way(late) * 10 ** (gain_db / 20)).astype(np.float32)


def _is_echo(own: Utterance, other: Utterance) -> bool:
    found = own_speech(Speaker.CUSTOMER, own, other, RUN.assist.ears)
    return isinstance(found, NotHeard)


def _echoes(waves: list[Wave]) -> None:
    print(f"\n{'the agent is heard on the customer channel':44} echoes")
    for name, way in WAYS.items():
        found = trials = 0
        for at, wave in enumerate(waves):
            agent = _stretch(wave)
            gain_db, delay_s = GAINS_DB[at % len(GAINS_DB)], DELAYS_S[at % len(DELAYS_S)]
            moved = tuple(
                Span(span.start_s + delay_s, span.end_s + delay_s) for span in agent.speech
            )
            found += _is_echo(_stretch(_late(wave, way, gain_db, delay_s), moved), agent)
            trials += 1
        print(f"{name:44} {found} of {trials}")


def _both(waves: list[Wave]) -> None:
    random = np.random.default_rng(0)
    whole = pieces = 0
    trials = 400
    for _ in range(trials):
        one, other = (waves[at] for at in random.choice(len(waves), 2, replace=False))
        other = other * np.float32(10 ** (random.uniform(-6, 10) / 20))
        count = min(len(one), len(other))
        pair = [_stretch(wave[:count]) for wave in (one, other)]
        whole += all(each.speech for each in pair) and _is_echo(*pair)
        size = round(random.uniform(0.25, 0.6) * RATE_HZ)
        everywhere = (Span(0.0, size / RATE_HZ),)
        cut = []
        for each in pair:
            first = round(each.speech[0].start_s * RATE_HZ) if each.speech else 0
            at = first + int(random.integers(0, max(count - first - size, 1)))
            cut.append(_stretch(np.resize(each.samples[at : at + size], size), everywhere))
        pieces += _is_echo(*cut)
    print(f"{'two people at once, taken for an echo':44} {whole} of {trials}")
    print(f"{'pieces of 0.25 to 0.6 s of two people':44} {pieces} of {trials}")


def _answers(waves: list[Wave]) -> None:
    print()
    for name, way in WAYS.items():
        kept = 0
        for at, agent in enumerate(waves):
            answer = waves[(at + 7) % len(waves)]
            line, said, replied = (
                _late(agent, way, -15, 0.08),
                VOICE.speech(agent, RATE_HZ),
                VOICE.speech(answer, RATE_HZ),
            )
            start_s = max(said[-1].end_s + 0.08 + 0.3 - replied[0].start_s, 0.0)
            first = round(start_s * RATE_HZ)
            sound = np.zeros(max(len(line), first + len(answer)), np.float32)
            sound[: len(line)] += line
            sound[first : first + len(answer)] += answer
            other = np.pad(agent, (0, len(sound) - len(agent)))
            found = own_speech(
                Speaker.CUSTOMER, _stretch(sound), _stretch(other, said), RUN.assist.ears
            )
            if not isinstance(found, NotHeard):
                begins = found.speech[0].start_s - replied[0].start_s - start_s
                ends = found.speech[-1].end_s - replied[-1].end_s - start_s
                kept += max(abs(begins), abs(ends)) < 0.25
        print(f"{'answers after an echo kept: ' + name:44} {kept} of {len(waves)}")


def _costs(waves: list[Wave]) -> None:
    ears = RecognizerEars(build_recognizer(RUN.asr))
    ears.warm(RATE_HZ)
    near = sorted(waves, key=lambda wave: abs(len(wave) / RATE_HZ - 3.0))[:8]
    stages: dict[str, list[float]] = {"crosstalk": [], "recognition": [], "prosody": []}
    for wave in near * 2:
        own, other = _stretch(wave), _stretch(np.roll(wave, 4000) * np.float32(0.1))
        begin = time.perf_counter()
        own_speech(Speaker.CUSTOMER, own, other, RUN.assist.ears)
        crossed = time.perf_counter()
        heard = ears.heard(own.samples, RATE_HZ, own.speech)
        done = time.perf_counter()
        prosody(own.samples, RATE_HZ, own.speech, heard.words)
        sounded = time.perf_counter() - done
        stages["crosstalk"].append(crossed - begin)
        stages["recognition"].append(done - crossed - sounded)
        stages["prosody"].append(sounded)
    seconds = np.mean([len(wave) / RATE_HZ for wave in near])
    print(f"\nof {len(near)} sentences of {seconds:.1f} s, twice, in ms   median    most")
    for name, values in stages.items():
        print(f"{name:40} {1e3 * np.median(values):8.1f} {1e3 * max(values):7.1f}")


if __name__ == "__main__":
    main()
