"""What decoding in a process apart costs against decoding in this one.

    python -m benchmarks.decode_apart

A recorded call of the demo is cut to a clip of 3 s and repeated to 5 minutes of stereo. Each is
decoded by turns in this process and apart; printed are both times in milliseconds, and the median
of the pairs' ratios, which other load on the machine moves least. Then what a process costs: the
time from nothing to its first answer, and its own memory.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import soundfile

from benchmarks.shared import described
from persona_ray.audio.apart import Apart
from persona_ray.audio.apart_process import Bounds
from persona_ray.audio.decode import read_audio
from persona_ray.audio.decoder import Here

_CALL = Path("demo/archive/audio/2026-02/K00046.ogg")
_BOUNDS = Bounds(4096, 60.0)


def timed(work: Callable[..., object], *asked: object) -> float:
    """In milliseconds."""
    begun = time.perf_counter()
    work(*asked)
    return 1000 * (time.perf_counter() - begun)


def encoded(samples: np.ndarray, rate_hz: int, form: str) -> bytes:
    file, channels = io.BytesIO(), 1 if samples.ndim == 1 else samples.shape[1]
    with soundfile.SoundFile(file, "w", rate_hz, channels, format=form) as sound:
        # libsndfile's Vorbis ends the process where it is given minutes at once.
        for at in range(0, len(samples), rate_hz):
            sound.write(samples[at : at + rate_hz])
    return file.getvalue()


def quantiles(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):8.2f} {ordered[int(0.95 * len(ordered))]:8.2f}"


def main() -> None:
    parser = described(__doc__)
    parser.add_argument("--pairs", type=int, default=200)
    pairs = parser.parse_args().pairs
    call = read_audio(str(_CALL))
    rate_hz = call.sample_rate_hz
    clip = call.samples.T[5 * rate_hz : 8 * rate_hz, 1]
    long = np.resize(call.samples.T, (300 * rate_hz, call.channels))
    here, apart = Here(), Apart(1, _BOUNDS)
    apart.upload(encoded(clip, rate_hz, "WAV"), "first", 60.0)
    print(f"{'':22} here p50      p95  apart p50     p95   ratio")
    for name, samples, count in (("clip of 3 s", clip, pairs), ("call of 5 min", long, pairs // 5)):
        for form in ("WAV", "OGG"):
            data = encoded(samples, rate_hz, form)
            times = [
                (timed(here.upload, data, "a", 3600.0), timed(apart.upload, data, "a", 3600.0))
                for _ in range(count)
            ]
            ratio = statistics.median(away / there for there, away in times)
            both = [quantiles(list(column)) for column in zip(*times, strict=True)]
            print(f"{name + ', ' + form:22}{both[0]}  {both[1]}   {ratio:5.2f}")
    for child in psutil.Process().children():
        megabytes = child.memory_full_info().uss / 2**20
        print(f"a process, after the long call: {megabytes:.0f} MB of its own")
    starts = []
    for _ in range(5):
        fresh = Apart(1, _BOUNDS)
        starts.append(timed(fresh.confined))
        fresh.close()
    print(f"from nothing to the first answer: {statistics.median(starts):.0f} ms")


if __name__ == "__main__":
    main()
