"""What the arms of serving_load.py are asked: the same requests in the same order.

clips   one sentence with its text, as wav at the rate of the corpus
asr     the same sentences without text: it is recognised
calls   a whole recorded call, as it lies in the archive
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.shared import arguments
from persona_ray.config import load_config

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.inference.clips import ClipInput
    from persona_ray.inference.personality import PersonalityRecognizer

KINDS = ("clips", "asr", "calls")
# Distinct sentences and calls; longer loads begin anew.
CLIPS, CALLS = 32, 6
# What answers may differ by: batches are padded differently.
TOLERANCE = 2e-3


@dataclass(frozen=True)
class Request:
    """`text` is empty where it is to be recognised; `expected` are the probabilities by colour that
    the recogniser gave alone, without any batch."""

    kind: str
    file: str
    text: str = ""
    channel: int = 0
    expected: dict[str, float] | None = None

    @property
    def data(self) -> bytes:
        return Path(self.file).read_bytes()


def prepare(config: RunConfig, folder: Path) -> None:
    """Write the requests, and what must be answered, to `folder`."""
    from benchmarks.serving_inprocess import load_recognizer

    recognizer = load_recognizer(config, 1)
    requests = []
    for asked in (*_clips(config, folder), *_calls(config)):
        expected = answer(recognizer, asked)
        # Where nothing is usable, an arm could answer nothing and be right.
        if expected is not None:
            requests.append(asdict(asked) | {"expected": expected})
    part = folder / "requests.part"
    part.write_text(json.dumps(requests, ensure_ascii=False), encoding="utf-8")
    part.replace(folder / "requests.json")


def read(folder: Path) -> dict[str, list[Request]]:
    rows = json.loads((folder / "requests.json").read_text(encoding="utf-8"))
    requests = [Request(**row) for row in rows]
    return {kind: [one for one in requests if one.kind == kind] for kind in KINDS}


def course(requests: Sequence[Request], count: int) -> list[Request]:
    """`count` of them, beginning anew where there are fewer."""
    return [requests[number % len(requests)] for number in range(count)]


def answer(recognizer: PersonalityRecognizer, asked: Request) -> dict[str, float] | None:
    """Probabilities by colour; None where nothing is usable."""
    if asked.kind == "calls":
        return _probabilities(recognizer.upload(asked.data, "call.ogg", asked.channel).result)
    return _probabilities(recognizer.clip(decoded(asked)).result)


def decoded(asked: Request) -> ClipInput:
    from persona_ray.audio.decode import decode_bytes
    from persona_ray.inference.clips import ClipInput

    audio = decode_bytes(asked.data, "clip.wav", 60.0)
    return ClipInput(audio.samples[0].copy(), audio.sample_rate_hz, asked.text or None)


def right(asked: Request, probabilities: dict[str, float] | None) -> bool:
    """Whether that is the answer, but for what batches do to the last digits."""
    expected = asked.expected or {}
    return probabilities is not None and all(
        abs(probabilities.get(label, -1.0) - value) < TOLERANCE for label, value in expected.items()
    )


def _probabilities(result: Any) -> dict[str, float] | None:
    from persona_ray.types import Recognition

    return dict(result.probabilities) if isinstance(result, Recognition) else None


def _clips(config: RunConfig, folder: Path) -> list[Request]:
    import soundfile

    from persona_ray.corpus.dataset import CorpusDataset

    dataset = CorpusDataset.open(config.corpus_dir)
    infos = list(dataset.infos())
    requests = []
    for number, info in enumerate(infos[:: max(1, len(infos) // CLIPS)][:CLIPS]):
        sound = io.BytesIO()
        samples = dataset.samples(info.clip_id)
        soundfile.write(sound, samples, dataset.sample_rate_hz, format="WAV", subtype="PCM_16")
        path = folder / f"{number:03}.wav"
        path.write_bytes(sound.getvalue())
        requests.append(Request("clips", str(path), info.text))
        requests.append(Request("asr", str(path)))
    return requests


def _calls(config: RunConfig) -> list[Request]:
    from persona_ray.corpus.archive import CallArchive
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.types import CallRecord, CallStatus

    outcomes = CorpusDataset.open(config.corpus_dir).calls()
    usable = {outcome.call_id for outcome in outcomes if outcome.status is CallStatus.OK}
    archive = CallArchive(config.archive, transcripts=False)
    requests: list[Request] = []
    for record in (record for page in archive.pages() for record in archive.read(page)):
        if len(requests) == CALLS:
            break
        if isinstance(record, CallRecord) and record.call_id in usable:
            path = Path(config.archive.audio_root) / record.audio_uri
            requests.append(Request("calls", str(path), channel=record.customer_channel))
    return requests


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    prepare(load_config(chosen.config, chosen.overrides), chosen.folder)


if __name__ == "__main__":
    main()
