"""`persona-ray demo screening`: a dozen calls through the real service, and what became of them."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from persona_ray.apps.demo_folder import MARK, begin_anew
from persona_ray.apps.screening_demo_calls import MadeCall, Player
from persona_ray.apps.screening_here import screening_here
from persona_ray.config import load_config
from persona_ray.errors import ConfigError, ServiceError
from persona_ray.evaluation.report.screened import ScreenedPage, ScreenedRow, write_screened
from persona_ray.files import write_whole
from persona_ray.synth.callers import CallScript, read_script, read_turn, turn_files

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.progress import Progress
    from persona_ray.store import Store

PAGE = "report.html"
_DIALOGUES = "dialogues.jsonl"
_COUNT, _SEED = 2700, 7
_AT_ONCE = 3
_SCOPES = ("screen", "screening")
# A machine that trains, recognises and speaks at once on two cores is slow, not broken.
_SETTINGS = (
    "serving.live.end_gap_s=0.6",
    "screening.dialogue.part_s=30",
    "launch.backend=plain",
    "tracking.url=off",
)


@dataclass(frozen=True, slots=True)
class DemoResult:
    """`page` is also a file, `path`; the calls are those of the user `user`."""

    page: ScreenedPage
    path: Path
    user: str

    @property
    def wrong(self) -> int:
        """Calls that went otherwise than expected."""
        return sum(bool(row.wrong) for row in self.page.rows)


def run_demo(out: Path, calls: Path, overrides: Sequence[str], progress: Progress) -> DemoResult:
    """Make what is missing in the folder `out`, make all calls of the folder `calls`, write the
    page. What was learned in an earlier run is forgotten first.

    Raises ConfigError where `out` holds something else, and what training and the service raise.
    """
    script = read_script(calls)
    _check_sound(script, calls)
    config, notes = _settings(out, overrides)
    begun = time.monotonic()
    begin_anew(config.workspace, ("screening", "recordings"))
    _train_once(config, progress)
    key = _teach(config, script, calls)
    with progress.stage("loading models", 1) as loading, screening_here(config) as address:
        loading.advance()
        with progress.stage("calls", len(script.calls)) as stage:
            player = Player(address, key, script, calls, _AT_ONCE)
            made = asyncio.run(player.play(stage))
    rows = [_row(call, config.workspace) for call in made]
    models: dict[str, str] = next(
        (call.detail["models"] for call in made if call.detail["models"]), {}
    )
    page = ScreenedPage(rows, models, notes, time.monotonic() - begun)
    body = json.dumps(asdict(page), ensure_ascii=False, indent=1)
    write_whole(config.workspace / "report.json", body)
    return DemoResult(page, write_screened(page, config.workspace / PAGE), script.user)


def _settings(out: Path, overrides: Sequence[str]) -> tuple[RunConfig, list[str]]:
    """The robot speaks by espeak-ng where it is installed."""
    notes: list[str] = []
    chosen = list(_SETTINGS)
    named = any(one.startswith("screening.dialogue.voice=") for one in overrides)
    if not named and shutil.which("espeak-ng") is None:
        chosen.append("screening.dialogue.voice=tone")
        notes.append(
            "The robot's lines are tones: espeak-ng is not installed (`apt-get install espeak-ng`)."
        )
    return load_config(None, [*chosen, *overrides, f"workspace={out}"]), notes


def _check_sound(script: CallScript, calls: Path) -> None:
    """Before anything takes time. Raises ConfigError."""
    for one in script.speaking:
        for path in turn_files(calls, one):
            read_turn(path)


def _train_once(config: RunConfig, progress: Progress) -> None:
    """Dialogues and a category model, unless those of these settings are there."""
    from persona_ray.launch.category import BUNDLE, FOLDER, train_category, with_dialogues
    from persona_ray.synth.dialogues.composing import compose
    from persona_ray.synth.dialogues.writing import write_dialogues

    if config.screening.bundle:
        return
    bundle, mark = config.workspace / FOLDER / BUNDLE, config.workspace / MARK
    dialogues = config.workspace / _DIALOGUES
    write_dialogues(compose(_COUNT, _SEED), dialogues)
    settings = config.screening.category.model_dump_json()
    made_of = hashlib.sha256(dialogues.read_bytes() + settings.encode()).hexdigest()
    if bundle.is_dir() and json.loads(mark.read_text("utf-8")).get("category") == made_of:
        return
    train_category(with_dialogues(config, [dialogues]), progress, baseline=False)
    write_whole(mark, json.dumps({"category": made_of}))


def _teach(config: RunConfig, script: CallScript, calls: Path) -> str:
    """What is known before the first call; the user's key."""
    from persona_ray.inference.screening.numbers import normalise
    from persona_ray.store import open_store
    from persona_ray.store.screening.records import NumberEntry

    now = datetime.now(UTC)
    with open_store(config.store_url) as store:
        for known in script.numbers:
            entry = NumberEntry(
                owner=known.owner,
                number=normalise(known.number, config.screening.region),
                standing=known.standing,
                category=known.category,
                name=known.name,
                origin="user" if known.owner else "operator",
            )
            store.numbers.put(entry, "demo", now)
        _mark_voices(config, store, script, calls)
        return store.keys.create(script.user, _SCOPES, requests_per_minute=6000).token


def _mark_voices(config: RunConfig, store: Store, script: CallScript, calls: Path) -> None:
    """As an operator marks them. Raises ConfigError for a voice that says too little."""
    import numpy as np

    from persona_ray.inference.screening.records import Channel, NotEnoughSpeech, Origin
    from persona_ray.inference.screening.voice_library import build_voice_library
    from persona_ray.inference.screening.voiceprint import build_voiceprinter
    from persona_ray.store.screening.voice_records import Marking

    voice = config.screening.voice
    printer = build_voiceprinter(voice, config.vad)
    library = build_voice_library(voice, printer, store.voices)
    for known in script.voices:
        turns = [read_turn(path) for path in turn_files(calls, known)]
        heard = printer.hear(np.concatenate([samples for samples, _ in turns]), turns[0][1])
        if isinstance(heard, NotEnoughSpeech):
            raise ConfigError(
                f"voice '{known.id}' says {heard.speech_s:.1f} s, {heard.needed_s:g} s are needed: "
                "give it more to say"
            )
        marking = Marking(known.standing, known.category, Origin.OPERATOR.value)
        library.add(heard, known.id, Channel.TELEPHONE, marking)


def _row(made: MadeCall, out: Path) -> ScreenedRow:
    detail, recording = made.detail, ""
    if made.recording:
        recording = f"recordings/{made.script.id}.ogg"
        path = out / recording
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made.recording)
    return ScreenedRow(
        call_id=made.script.id,
        about=made.script.about,
        outcome=str(detail["outcome"]).replace("_", " "),
        standing=detail["standing"] or "",
        category=detail["category"],
        decided_s=detail["decided_s"],
        told=list(told_of(made)),
        turns=[(turn["speaker"], turn["text"]) for turn in detail["turns"]],
        recording=recording,
        wrong=list(wrong_of(made)),
    )


def told_of(made: MadeCall) -> Iterator[str]:
    """What the user was shown and told, in words; what the verdict repeats is said once."""
    if made.event["name"]:
        yield f"{made.event['name']} is calling"
    verdict = next((body for kind, body in made.notices if kind == "verdict"), None)
    for kind, body in made.notices:
        if kind == "ask":
            yield f"what shall be done? {body['reason']}"
        elif kind == "screen" and not _repeated(body, verdict):
            yield f"taken for {body['category'] or body['standing']}: {body['reason']}"
    if verdict is not None:
        about = " ".join(part for part in (verdict["standing"], verdict["category"]) if part)
        named = f" ({about})" if about else ""
        yield f"{str(verdict['outcome']).replace('_', ' ')}{named}: {verdict['reason']}"


def _repeated(body: dict[str, Any], verdict: dict[str, Any] | None) -> bool:
    if verdict is None:
        return False
    # Probabilities move with each turn; what it is taken for is what counts.
    return bool(body["category"] == verdict["category"])


def wrong_of(made: MadeCall) -> Iterator[str]:
    """What the script expects and did not find."""
    expected, detail = made.script.expect, made.detail
    for name in ("outcome", "standing", "category"):
        wanted = getattr(expected, name)
        if wanted and detail[name] != wanted:
            yield f"{name} {wanted}"
    if (found := _rests_on(made)) != expected.by:
        yield f"decided by {expected.by}, not {found}"
    voice = detail["voice"] or {}
    if expected.voice is not None and voice.get("standing") != expected.voice:
        yield f"an {expected.voice} voice of the libraries"
    if not any(kind == "verdict" for kind, _ in made.notices):
        yield "the user is told of the verdict"
    if made.connections and not made.recording.startswith(b"OggS"):
        yield "a recording behind its link"


def _rests_on(made: MadeCall) -> str:
    """What a call was decided by."""
    if not made.connections:
        return "number"
    detail = made.detail
    if made.script.answer and detail["probabilities"] is None:
        return "user"
    voice = detail["voice"] or {}
    if voice.get("standing") == "illegal" and detail["outcome"] == "hung_up":
        return "voice"
    return "words" if detail["probabilities"] is not None else "nothing"


def check(result: DemoResult) -> None:
    """Raises ServiceError where a call went otherwise than expected."""
    wrong = [f"{row.call_id} ({'; '.join(row.wrong)})" for row in result.page.rows if row.wrong]
    if wrong:
        raise ServiceError(f"expected otherwise: {', '.join(wrong)}; {result.path} shows the calls")
