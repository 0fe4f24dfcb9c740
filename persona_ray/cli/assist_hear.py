"""`persona-ray assist hear`: what an assisted call would hear of a recording."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_ray.cli.options import ConfigPath, Overrides, customer_channel, read

if TYPE_CHECKING:
    from collections.abc import Iterable

    from persona_ray.config import RunConfig
    from persona_ray.inference.assist.emotion.combine import MoodReader
    from persona_ray.serving.assist.recording import HeardTurn


def hear(
    audio: Annotated[str, typer.Argument(help="A recording: path or URI (wav, flac, ogg, mp3).")],
    channel: Annotated[
        int | None,
        typer.Option(
            "--customer-channel",
            "--channel",
            help="The customer's channel, from 0; the other is the agent's. Mono needs none, and "
            "is the customer alone.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A turn a line, for machines.")] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Hear a recording as a call that is assisted: turns, how they sounded, emotion, relation.

    What sounds otherwise than the speaker usually does is said beside the text: who is not known
    yet sounds as usual. Emotion is the lexicon's, and the model's where `assist.emotion.bundle`
    names one.

    Example: `persona-ray assist hear call.ogg --customer-channel 1`
    """
    from persona_ray.asr.lazy import LazyRecognizer
    from persona_ray.audio.decode import read_audio
    from persona_ray.inference.assist.ears import RecognizerEars
    from persona_ray.serving.assist.recording import hear_recording

    run = read(config, overrides)
    sound = read_audio(
        audio, max_s=run.archive.max_call_s, truncated_below=run.audio.truncated_below
    )
    channel = customer_channel(audio, sound.channels, channel)
    ears = RecognizerEars(LazyRecognizer(run.asr))
    turns = hear_recording(sound, audio, channel, ears.heard, run, _moods(run).mood)
    if as_json:
        for turn in turns:
            typer.echo(json.dumps(_row(turn), ensure_ascii=False))
    else:
        _print(turns)


def _moods(run: RunConfig) -> MoodReader:
    from persona_ray.inference.assist.emotion.combine import MoodReader, Weights
    from persona_ray.inference.assist.emotion.lexicon import load_lexicon
    from persona_ray.inference.assist.emotion.model import EmotionReader
    from persona_ray.launch.versions.registry import resolve_bundle

    config = run.assist.emotion
    model = EmotionReader.load(resolve_bundle(run, config.bundle)) if config.bundle else None
    return MoodReader(load_lexicon(config.lexicon), model, Weights(config.lexicon_weight))


def _row(turn: HeardTurn) -> dict[str, Any]:
    from persona_ray.inference.assist.records import NotHeard

    said = turn.said
    row: dict[str, Any] = {
        "speaker": turn.speaker.value,
        "start_s": round(said.start_s, 3),
        "end_s": round(said.end_s, 3),
    }
    if isinstance(said, NotHeard):
        return {**row, "unheard": said.reason}
    row |= {
        "text": said.text,
        "overlapped": said.overlapped,
        "tone": {name: _rounded(value) for name, value in asdict(said.tone).items()},
        "words": [
            {
                "text": word.text,
                "start_s": round(word.start_s, 3),
                "end_s": round(word.end_s, 3),
                "tone": {name: _rounded(value) for name, value in asdict(tone).items()},
            }
            for word, tone in zip(said.words, said.tones, strict=True)
        ],
    }
    if turn.relation is not None:
        row["relation"] = turn.relation.value
    if turn.mood is not None:
        row["emotion"] = turn.mood.emotion.value
        row["valence"] = round(turn.mood.valence, 3)
    return row


def _rounded(value: float | bool) -> float | bool:
    return value if isinstance(value, bool) else round(value, 3)


def _print(turns: Iterable[HeardTurn]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from persona_ray.inference.assist.records import NotHeard
    from persona_ray.inference.assist.tone_words import in_words

    table = Table("s", "who", "said", "sounds", "emotion", "relation")
    for turn in turns:
        said = turn.said
        times = f"{said.start_s:.1f} - {said.end_s:.1f}"
        if isinstance(said, NotHeard):
            table.add_row(times, turn.speaker.value, f"({said.reason})", style="dim")
            continue
        sounds = "talked over" if said.overlapped else ", ".join(in_words(said.tone, "en"))
        emotion = turn.mood.emotion.value if turn.mood else ""
        relation = turn.relation.value if turn.relation else ""
        table.add_row(times, turn.speaker.value, Text(said.text), sounds, emotion, relation)
    Console().print(table)
