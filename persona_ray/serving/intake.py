"""From a request's body to recordings and clips: bounded, decoded beside the event loop and apart.

Uploads are written to disk while they come in (Starlette's parser does so from 1 MB on); what is
read back into memory is bounded by `serving.limits`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from fastapi import Request, UploadFile
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as StarletteUpload

from persona_ray.audio.decoder import decoder_of
from persona_ray.errors import ChannelError, RequestError
from persona_ray.inference.clips import ClipInput
from persona_ray.serving.failures import field_named, misread
from persona_ray.serving.schemas import MAX_CHANNEL, MAX_TEXT, ClipSource
from persona_ray.serving.uris import allowed_uri

if TYPE_CHECKING:
    from persona_ray.audio.decode import DecodedAudio
    from persona_ray.audio.decoder import Decoder
    from persona_ray.config.serving import LimitsConfig
    from persona_ray.serving.service import ServedModel

ModelT = TypeVar("ModelT", bound=BaseModel)
P = ParamSpec("P")
T = TypeVar("T")

MULTIPART, JSON = "multipart/form-data", "application/json"
_JSON_BYTES = 1_000_000
_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True)
class ClipUpload:
    """One clip of a request before it is decoded; `field` names it in messages."""

    field: str
    file: StarletteUpload | None
    source: ClipSource


def media_type(request: Request) -> str:
    """multipart/form-data or application/json; RequestError for another."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (MULTIPART, JSON):
        raise RequestError(
            "request.media_type",
            f"the body is {'of no named kind' if not kind else 'of a kind that is not taken'}",
            status=415,
            field="content-type",
            fix=f"upload files as {MULTIPART}, or name URIs in {JSON}",
        )
    return kind


async def read_json(request: Request, model: type[ModelT]) -> ModelT:
    """A JSON body, checked. Raises RequestError for one that is wrong or too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _JSON_BYTES:
            raise RequestError(
                "request.too_large",
                f"a JSON body has at most {_JSON_BYTES / 1e6:g} MB",
                status=413,
                fix="upload audio as files, or name it by URI",
            )
    try:
        # From bytes: Python's own parser lets through text that cannot be encoded again.
        return model.model_validate_json(bytes(body))
    except ValidationError as error:
        raise misread(error) from None


@asynccontextmanager
async def read_form(request: Request, max_files: int) -> AsyncIterator[FormData]:
    """A multipart body; its files are gone afterwards."""
    async with request.form(
        max_files=max_files, max_fields=2 * max_files + 8, max_part_size=64 * 1024
    ) as form:
        yield form


def files_of(form: FormData, field: str) -> list[StarletteUpload]:
    """The files of a field; RequestError where it holds text."""
    found = form.getlist(field)
    files = [item for item in found if isinstance(item, StarletteUpload)]
    if len(files) != len(found):
        raise RequestError(
            "request.invalid",
            f"{field}: a value without a file name is no file",
            field=field,
            fix=f"send it as a file: curl -F {field}=@recording.wav",
        )
    return files


def texts_of(form: FormData, field: str) -> list[str]:
    """The texts of a field; an empty one is unknown. RequestError where it holds files."""
    texts = []
    for number, item in enumerate(form.getlist(field)):
        if not isinstance(item, str):
            raise _invalid(field, "a file where a text is expected", "send it without '@'")
        if len(item) > MAX_TEXT:
            raise _invalid(
                f"{field}[{number}]",
                f"a text has at most {MAX_TEXT} characters",
                "send one sentence, or leave it out",
            )
        if "\x00" in item:
            raise _invalid(f"{field}[{number}]", "a text with a zero character", "leave it out")
        texts.append(item.encode(errors="replace").decode())
    return texts


def channel_of(form: FormData, field: str = "channel") -> int | None:
    """The channel that a form names; None where it names none."""
    found = form.getlist(field)
    if not found:
        return None
    said = found[0] if len(found) == 1 else None
    number = int(said) if isinstance(said, str) and said.isascii() and said.isdigit() else -1
    if not 0 <= number <= MAX_CHANNEL:
        raise _invalid(
            field, f"a channel is one number from 0 to {MAX_CHANNEL}", "count channels from 0"
        )
    return number


def known_fields(form: FormData, *fields: str) -> None:
    """RequestError for a field that would be left unread."""
    unknown = [name for name in form if name not in fields]
    if unknown:
        raise _invalid(
            _printable(unknown[0]), "there is no such field", f"fields are {', '.join(fields)}"
        )


def file_name(file: UploadFile | StarletteUpload) -> str:
    """For messages: short, printable, without folders."""
    return _printable(PurePosixPath((file.filename or "").replace("\\", "/")).name) or "the file"


async def read_upload(file: StarletteUpload, field: str, limits: LimitsConfig) -> bytes:
    """The bytes of a recording whose header claims no more than the permitted time."""
    data = await file.read()
    decoder = decoder_of(limits)
    with field_named(field):
        await _beside(decoder, decoder.check_length, data, file_name(file), limits.max_call_s)
    return data


async def decode_clips(
    clips: list[ClipUpload], model: ServedModel, limits: LimitsConfig
) -> tuple[list[ClipInput], float]:
    """The clips with their samples, and the seconds of audio in them.

    Raises RequestError naming the clip that is wrong.
    """
    if len(clips) > limits.max_clips:
        raise RequestError(
            "request.too_many",
            f"{len(clips)} clips: one request has at most {limits.max_clips}",
            status=413,
            field="clips",
            fix="send them in several requests",
        )
    inputs, seconds = [], 0.0
    for clip in clips:
        one = await _clip(clip, model, limits)
        inputs.append(one)
        if one.samples is not None:
            seconds += len(one.samples) / one.sample_rate_hz
    return inputs, seconds


async def _clip(clip: ClipUpload, model: ServedModel, limits: LimitsConfig) -> ClipInput:
    source = clip.source
    if clip.file is None and source.uri is None:
        if model.hears:
            raise RequestError(
                "clip.no_audio",
                f"{clip.field} has no recording, and the model hears: text alone is not enough",
                field=clip.field,
                fix="upload a file, or name a URI",
            )
        if not source.text:
            raise RequestError(
                "clip.empty",
                f"{clip.field} has neither a recording nor a text",
                field=clip.field,
                fix="send what is said",
            )
        return ClipInput(None, model.sample_rate_hz, source.text)
    audio, name = await _decoded(clip, limits)
    with field_named(clip.field):
        channel = _chosen_channel(audio, name, source.channel)
    # A view would keep the other channels in memory.
    samples = audio.samples[channel].copy()
    return ClipInput(samples, audio.sample_rate_hz, source.text or None)


async def _decoded(clip: ClipUpload, limits: LimitsConfig) -> tuple[DecodedAudio, str]:
    decoder = decoder_of(limits)
    with field_named(clip.field):
        if clip.file is not None:
            name, data = file_name(clip.file), await clip.file.read()
            return await _beside(decoder, decoder.upload, data, name, limits.max_clip_s), name
        uri = allowed_uri(clip.source.uri or "", limits.uri_roots, f"{clip.field}.uri")
        return await _beside(decoder, decoder.read, uri, limits.max_clip_s), uri


async def _beside(decoder: Decoder, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread. Whoever waits for a decoder has one of its own: others' work goes on."""
    begun = partial(copy_context().run, work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(decoder.threads, begun)


def _chosen_channel(audio: DecodedAudio, name: str, channel: int | None) -> int:
    if channel is None and audio.channels > 1:
        raise ChannelError(f"{name} has {audio.channels} channels, and none is named")
    if (channel or 0) >= audio.channels:
        raise ChannelError(
            f"{name} has {audio.channels} channel(s), counted from 0: {channel} is not among them"
        )
    return channel or 0


def _printable(name: str) -> str:
    kept = "".join(character if character.isprintable() else "?" for character in name)
    return kept[:_LONGEST_NAME]


def _invalid(field: str, message: str, fix: str) -> RequestError:
    return RequestError("request.invalid", f"{field}: {message}", field=field, fix=fix)
