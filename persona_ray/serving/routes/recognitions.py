"""Whose colour is it: clips, and whole calls, answered at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request

from persona_ray.errors import RequestError
from persona_ray.inference.clips import combine
from persona_ray.serving.answers import call_answer, note_call, note_clips, timings
from persona_ray.serving.documents import ERRORS, body, channel_field, file_field, files_field
from persona_ray.serving.failures import field_named
from persona_ray.serving.intake import (
    MULTIPART,
    ClipUpload,
    channel_of,
    decode_clips,
    file_name,
    files_of,
    known_fields,
    media_type,
    read_form,
    read_json,
    read_upload,
    texts_of,
)
from persona_ray.serving.schemas import (
    CallAnswer,
    CallRequest,
    ClipsAnswer,
    ClipSource,
    ClipsRequest,
    clip_answer,
    colour_of,
    model_answer,
)
from persona_ray.serving.service import Recording
from persona_ray.serving.uris import allowed_uri
from persona_ray.watch.trace_ids import current_trace_id

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.inference.clips import ClipInput
    from persona_ray.serving.application import Services

_CLIPS_FORM = {
    "files": files_field("wav, flac, ogg or mp3, one sentence each"),
    "texts": {
        "type": "array",
        "items": {"type": "string"},
        "description": "what is said, one for each file; an empty one is recognised. Without files "
        "for a model that only reads",
    },
    "channel": channel_field("the speaker's"),
}
_CALL_FORM = {
    "file": file_field("wav, flac, ogg or mp3 with the customer on a channel of its own"),
    "channel": channel_field("the customer's"),
}


def recognitions(services: Services) -> APIRouter:
    """POST /v1/recognitions/clips and /v1/recognitions/calls."""
    router = APIRouter(
        prefix="/v1/recognitions",
        tags=["recognitions"],
        responses=ERRORS,
        dependencies=[Depends(services.gate.requires("recognise"))],
    )
    serving = services.config.serving

    @router.post(
        "/clips",
        summary="Sentences of one speaker",
        openapi_extra=body(ClipsRequest, _CLIPS_FORM),
    )
    async def clips(request: Request) -> ClipsAnswer:
        """Each clip by itself, and all together as one speaker."""
        begun = time.perf_counter()
        inputs, seconds = await _clips(request, services)
        read_s = time.perf_counter() - begun
        answered = await services.personality.clips(inputs)
        results = [clip.result for clip in answered.result]
        timings_s = timings(answered, read_s, begun)
        services.metrics.audio("clip", seconds)
        note_clips(services, inputs, answered)
        services.metrics.answers(results, answered.model)
        services.metrics.stages(timings_s)
        return ClipsAnswer(
            together=colour_of(combine(results), serving.abstain_below),
            clips=[clip_answer(clip, serving.abstain_below) for clip in answered.result],
            model=model_answer(answered.model),
            timings_s=timings_s,
            trace_id=current_trace_id(),
        )

    @router.post(
        "/calls",
        summary="A whole call",
        openapi_extra=body(CallRequest, _CALL_FORM, ("file", "channel")),
    )
    async def calls(request: Request) -> CallAnswer:
        """The customer's sentences in a call, each by itself, and all together."""
        begun = time.perf_counter()
        recording, field = await _recording(request, services.config)
        read_s = time.perf_counter() - begun
        with field_named(field):
            answered = await services.personality.call(recording)
        timings_s = timings(answered, read_s, begun)
        note_call(services, answered, timings_s)
        return call_answer(answered, services.config, timings_s)

    return router


async def _clips(request: Request, services: Services) -> tuple[list[ClipInput], float]:
    limits = services.config.serving.limits
    model = await services.personality.model()
    if media_type(request) != MULTIPART:
        asked = await read_json(request, ClipsRequest)
        sources = [
            ClipUpload(f"clips[{number}]", None, source)
            for number, source in enumerate(asked.clips)
        ]
        return await decode_clips(sources, model, limits)
    async with read_form(request, limits.max_clips) as form:
        known_fields(form, *_CLIPS_FORM)
        files, texts, channel = files_of(form, "files"), texts_of(form, "texts"), channel_of(form)
        if files and texts and len(files) != len(texts):
            raise RequestError(
                "request.invalid",
                f"{len(texts)} texts for {len(files)} files",
                field="texts",
                fix="send one text for each file (an empty one is recognised), or none",
            )
        if not files and not texts:
            raise RequestError(
                "request.invalid", "files: no file", field="files", fix="curl -F files=@a.wav"
            )
        uploads = [
            ClipUpload(
                f"files[{number}]" if files else f"texts[{number}]",
                files[number] if files else None,
                ClipSource(text=(texts[number] if texts else None) or None, channel=channel),
            )
            for number in range(len(files) or len(texts))
        ]
        return await decode_clips(uploads, model, limits)


async def _recording(request: Request, config: RunConfig) -> tuple[Recording, str]:
    """The recording of a request, and the field that it stands in."""
    limits = config.serving.limits
    if media_type(request) != MULTIPART:
        asked = await read_json(request, CallRequest)
        uri = allowed_uri(asked.uri, limits.uri_roots, "uri")
        return Recording(asked.uri, asked.channel, uri=uri), "uri"
    async with read_form(request, 1) as form:
        known_fields(form, *_CALL_FORM)
        files, channel = files_of(form, "file"), channel_of(form)
        if not files:
            raise RequestError(
                "request.invalid", "file: no file", field="file", fix="curl -F file=@call.wav"
            )
        if channel is None:
            raise RequestError(
                "request.invalid",
                "channel: which one is the customer's?",
                field="channel",
                fix="send channel=0 or channel=1",
            )
        data = await read_upload(files[0], "file", limits)
        return Recording(file_name(files[0]), channel, data=data), "file"
