"""What a live call costs, and whether it says what its recording says.

python -m benchmarks.live_calls cost
python -m benchmarks.live_calls same --config configs/demo.yaml --calls 20 --gaps 0.6 0.75 0.9
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.shared import arguments
from persona_ray.audio.decode import read_audio
from persona_ray.audio.g711 import encode_mulaw
from persona_ray.audio.vad import VoiceActivity
from persona_ray.config import RunConfig, load_config
from persona_ray.inference.calls import Piece
from persona_ray.inference.hearing import Hearing
from persona_ray.serving.live.endpoint import Endpointer, Utterance
from persona_ray.serving.live.frames import FrameIntake, frame
from persona_ray.serving.live.protocol import Sound

AUDIO = Path("demo/archive/audio")
FRAME_S = 0.02


def calls(count: int) -> list[Path]:
    return sorted(AUDIO.glob("*/*.ogg"))[:: max(1, 240 // count)][:count]


def line(path: Path, sound: Sound) -> list[bytes]:
    """The customer's channel in frames of 20 ms."""
    from persona_ray.audio.resample import resample

    audio = read_audio(str(path))
    samples = audio.samples[min(1, audio.channels - 1)]
    samples = resample(samples, audio.sample_rate_hz, sound.sample_rate_hz)
    size = round(FRAME_S * sound.sample_rate_hz)
    parts = (samples[at : at + size] for at in range(0, len(samples), size))
    if sound.encoding == "mulaw":
        return [frame(number, encode_mulaw(part)) for number, part in enumerate(parts, 1)]
    return [
        frame(number, np.clip(np.rint(part * 32_768), -32_768, 32_767).astype("<i2").tobytes())
        for number, part in enumerate(parts, 1)
    ]


def utterances(frames: list[bytes], sound: Sound, config: RunConfig) -> Iterator[Utterance]:
    voice = VoiceActivity(config.vad)
    rate_hz = config.audio.sample_rate_hz
    intake, live = FrameIntake(sound, rate_hz, 1e9), config.serving.live
    endpointer = Endpointer(voice, live, rate_hz)
    for one in frames:
        samples = intake.take(one)
        for cut in [] if samples is None else endpointer.push(samples):
            intake.settled(cut.checkpoint.position)
            if cut.utterance is not None:
                yield cut.utterance
    for cut in [*endpointer.push(intake.finish()), *endpointer.finish()]:
        if cut.utterance is not None:
            yield cut.utterance


def cost(config: RunConfig, count: int) -> None:
    """Processor seconds for a second of a live call: frames, voice activity, ends of utterances."""
    lines = {
        "mu-law 8 kHz": Sound(encoding="mulaw"),
        "pcm16 16 kHz": Sound(sample_rate_hz=16_000),
        "pcm16 48 kHz": Sound(sample_rate_hz=48_000),
    }
    for name, sound in lines.items():
        streams = [line(path, sound) for path in calls(count)]
        list(utterances(streams[0], sound, config))
        begun, seconds = time.process_time(), 0.0
        for frames in streams:
            list(utterances(frames, sound, config))
            seconds += len(frames) * FRAME_S
        spent = time.process_time() - begun
        print(f"{name}: {1000 * spent / seconds:.2f} ms of a core per second of a call")


def shown(piece: Piece, offset_s: float = 0.0) -> tuple[float, float, str | None, bytes]:
    times = round(piece.start_s + offset_s, 3), round(piece.end_s + offset_s, 3)
    return *times, piece.text, piece.samples.tobytes()


def same(config: RunConfig, count: int, ends: list[tuple[float, float]]) -> None:
    """Sentences of recordings found live too: same text, times and sound, to the sample."""
    hearing = Hearing(config)
    lines, recorded = [], []
    for path in calls(count):
        frames = line(path, Sound())
        sound = np.frombuffer(b"".join(one[4:] for one in frames), dtype="<i2")
        file = io.BytesIO()
        soundfile.write(file, sound, 8000, format="WAV")
        pieces = hearing.upload(file.getvalue(), path.name, 0).pieces
        lines.append(frames)
        recorded.append({shown(piece) for piece in pieces})
    for gap_s, longest_s in ends:
        change = {"end_gap_s": gap_s, "max_utterance_s": longest_s}
        live = config.serving.live.model_copy(update=change)
        serving = config.serving.model_copy(update={"live": live})
        chosen = config.model_copy(update={"serving": serving})
        found = other = texts = count = 0
        for frames, expected in zip(lines, recorded, strict=True):
            heard = set()
            for one in utterances(frames, Sound(), chosen):
                count += 1
                pieces = hearing.utterance(one.samples, one.sample_rate_hz, one.speech).pieces
                heard |= {shown(piece, one.start_s) for piece in pieces}
            found += len(expected & heard)
            texts += len({one[2] for one in expected} & {one[2] for one in heard})
            other += len(heard - expected)
        total = sum(map(len, recorded))
        print(
            f"end_gap_s {gap_s:g}, max_utterance_s {longest_s:g}: {count} utterances; of {total} "
            f"sentences {found} are the same live, {texts} have the same text; {other} others",
            flush=True,
        )


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("what", choices=["cost", "same"])
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--end", nargs="+", default=["0.6,12", "0.9,20"], help="GAP,LONGEST")
    options = parser.parse_args()
    config = load_config(options.config, options.overrides)
    if options.what == "cost":
        cost(config, options.calls)
    else:
        pairs = [end.split(",") for end in options.end]
        same(config, options.calls, [(float(gap), float(most)) for gap, most in pairs])


if __name__ == "__main__":
    main()
