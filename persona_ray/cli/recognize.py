"""`persona-ray recognize`: whose colour is it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from persona_ray.cli.options import ConfigPath, Overrides, customer_channel, read
from persona_ray.errors import ConfigError

if TYPE_CHECKING:
    from persona_ray.inference.clips import CallRecognition, ClipInput, ClipRecognition
    from persona_ray.inference.personality import PersonalityRecognizer


def recognize(
    audio: Annotated[
        list[str] | None, typer.Argument(help="Recordings: paths or URIs (wav, flac, ogg, mp3).")
    ] = None,
    call: Annotated[
        list[str] | None,
        typer.Option("--call", metavar="CALL_ID", help="A call of the configured archive."),
    ] = None,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            help="With --clip: what is said in each recording; alone (text-only bundle): texts.",
        ),
    ] = None,
    clip: Annotated[
        bool, typer.Option("--clip", help="Each recording is one sentence, not a whole call.")
    ] = False,
    channel: Annotated[
        int | None,
        typer.Option(help="The customer's channel, from 0; mono needs none."),
    ] = None,
    bundle: Annotated[
        str,
        typer.Option(help="A folder or models:/persona@champion; default: the workspace's."),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Recognise the colour of a sentence, of a set of sentences, or of a whole call.

    Several recordings or calls are taken as one speaker: besides each result there is that of all
    together (the sum of probabilities). Text is recognised where it is not given. A recording with
    nothing usable says so: that is a result (primary null), not an error.

    Examples: `recognize call.ogg --channel 1`, `recognize --call K00001 --json`,
    `recognize a.wav b.wav --clip`, `recognize a.wav --clip --text 有没有书面的合同可以先看一下`
    """
    from persona_ray.inference.clips import combine
    from persona_ray.inference.personality import PersonalityRecognizer
    from persona_ray.launch.versions.registry import resolve_bundle

    recordings, calls, texts = audio or [], call or [], text or []
    if not recordings and not calls and not texts:
        raise ConfigError("nothing to recognise: name recordings, --call CALL_ID or --text")
    _check_texts(recordings, texts, clip)
    run = read(config, overrides)
    folder = resolve_bundle(run, bundle) if bundle else run.bundle_dir
    recognizer = PersonalityRecognizer.load(folder, run)
    rows: list[tuple[str, CallRecognition | ClipRecognition]] = []
    if clip or (texts and not recordings):
        answers = recognizer.clips(_clips(recognizer, recordings, texts, channel))
        rows += zip(recordings or texts, answers, strict=True)
    else:
        rows += [
            (name, recognizer.recording(name, _channel(recognizer, name, channel)))
            for name in recordings
        ]
    rows += [(name, _archived(recognizer, name)) for name in calls]
    whole = combine([answer.result for _, answer in rows])
    if as_json:
        _print_json(rows, whole)
    else:
        from persona_ray.cli.tables import print_recognitions

        print_recognitions(rows, whole, recognizer.labels)


def _check_texts(recordings: list[str], texts: list[str], clip: bool) -> None:
    """Raises ConfigError where nobody can tell which text is of which recording."""
    if not texts or not recordings:
        return
    if not clip:
        raise ConfigError("--text beside recordings needs --clip: each text is of one sentence")
    if len(texts) != len(recordings):
        raise ConfigError(
            f"{len(texts)} --text for {len(recordings)} recordings: give one each, or none"
        )


def _clips(
    recognizer: PersonalityRecognizer,
    recordings: list[str],
    texts: list[str],
    channel: int | None,
) -> list[ClipInput]:
    from persona_ray.audio.decode import read_audio
    from persona_ray.inference.clips import ClipInput

    if not recordings:
        if texts and recognizer.model.speech is not None:
            raise ConfigError(
                "--text alone needs a bundle that only reads: this one hears too; name a recording "
                "with --clip, or train one with model.modality=text"
            )
        return [ClipInput(None, recognizer.config.audio.sample_rate_hz, text) for text in texts]
    clips = []
    for number, name in enumerate(recordings):
        sound = read_audio(name, max_s=recognizer.config.archive.max_call_s)
        samples = sound.samples[customer_channel(name, sound.channels, channel)]
        clips.append(ClipInput(samples, sound.sample_rate_hz, texts[number] if texts else None))
    return clips


def _channel(recognizer: PersonalityRecognizer, name: str, channel: int | None) -> int:
    from persona_ray.audio.decode import read_audio

    if channel is not None:
        return channel
    sound = read_audio(name, max_s=recognizer.config.archive.max_call_s)
    return customer_channel(name, sound.channels, channel)


def _archived(recognizer: PersonalityRecognizer, call_id: str) -> CallRecognition:
    from persona_ray.corpus.archive import CallArchive
    from persona_ray.errors import ArchiveError
    from persona_ray.types import CallRecord

    config = recognizer.config
    archive = CallArchive(config.archive, transcripts=config.asr.reuse_transcripts)
    record = archive.get(call_id)
    if not isinstance(record, CallRecord):
        raise ArchiveError(f"call {call_id}: {record.detail}")
    return recognizer.call(record)


def _print_json(rows: list[tuple[str, Any]], whole: Any) -> None:
    from persona_ray.inference.clips import result_to_dict

    results = [{"source": name, **answer.to_dict()} for name, answer in rows]
    answer = {"results": results, "together": result_to_dict(whole)}
    typer.echo(json.dumps(answer, ensure_ascii=False, indent=1))
