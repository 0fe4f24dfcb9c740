"""One JSON shape for everything that goes wrong, and which error becomes which status.

    {"error": {"code": "audio.truncated", "message": "...", "field": "files[0]", "fix": "...",
               "trace_id": "..."}}

A mistake of the client is a 4xx that names the field and the fix. What is ours is a 5xx without
details: they are in the log, by kind and place, under the trace id.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocket, WebSocketState

from persona_ray.errors import (
    CallError,
    ChannelError,
    DecoderError,
    EmptyFileError,
    EngineUnavailableError,
    ModelError,
    NotAudioError,
    PersonaRayError,
    RecognitionError,
    RequestError,
    ServiceBusyError,
    ServiceError,
    ServiceLostError,
    SilentError,
    StorageAwayError,
    StoreError,
    TooLongError,
    TruncatedError,
    UnreadableError,
)
from persona_ray.serving.tracing import HEADER
from persona_ray.watch.trace_ids import current_trace_id

if TYPE_CHECKING:
    from starlette.types import ExceptionHandler

# Of a WebSocket that is refused: the application's own range of codes, read as 4000 + status.
CLOSE_OFFSET = 4000
_SHOWN_MISTAKES = 3


class ErrorDetail(BaseModel):
    """What went wrong, for a program (`code`) and for a person (`message`, `fix`)."""

    code: str = Field(description="kind of the mistake; never changes its meaning")
    message: str
    field: str | None = Field(None, description="what of the request is wrong")
    fix: str = Field("", description="how to mend it")
    trace_id: str = Field(description="names this request in the service's logs")


class ErrorAnswer(BaseModel):
    """The body of every answer that is no success."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "error": {
                    "code": "audio.truncated",
                    "message": "call.wav ends after 3.1 s: 40% of what its header promises",
                    "field": "file",
                    "fix": "send the whole file",
                    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
                }
            }
        }
    )

    error: ErrorDetail


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer in the making."""

    status: int
    code: str
    message: str
    field: str | None = None
    fix: str = ""
    retry_after_s: float | None = None

    def detail(self) -> ErrorDetail:
        return ErrorDetail(
            code=self.code,
            message=_encodable(" ".join(self.message.split())),
            field=None if self.field is None else _encodable(self.field),
            fix=self.fix,
            trace_id=current_trace_id(),
        )

    def refusal(self) -> RequestError:
        """As an error, for whoever does not answer it here."""
        return RequestError(
            self.code,
            self.message,
            status=self.status,
            field=self.field,
            fix=self.fix,
            retry_after_s=self.retry_after_s,
        )

    def response(self) -> JSONResponse:
        detail = self.detail()
        headers = {HEADER: detail.trace_id}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.retry_after_s)))
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        if self.status == 426:
            headers |= {"upgrade": "websocket", "connection": "upgrade"}
        body = ErrorAnswer(error=detail).model_dump()
        return JSONResponse(body, status_code=self.status, headers=headers)


# The first kind that fits counts: status, code, fix.
_AUDIO: tuple[tuple[type[CallError], int, str, str], ...] = (
    (EmptyFileError, 422, "audio.empty", "send a file with audio in it"),
    (TruncatedError, 422, "audio.truncated", "send the whole file"),
    (StorageAwayError, 503, "audio.storage", "the recording's storage fails: send it again later"),
    (UnreadableError, 422, "audio.unreadable", "see that the address is right and may be read"),
    (TooLongError, 413, "audio.too_long", "send a shorter recording, or cut it"),
    (SilentError, 422, "audio.silent", "name the channel that the customer speaks on"),
    (ChannelError, 422, "audio.channel", "name a channel that the file has, counted from 0"),
    (DecoderError, 422, "audio.decoder", "send another recording, or the same as wav"),
    (NotAudioError, 422, "audio.not_audio", "send wav, flac, ogg or mp3"),
    (CallError, 422, "audio.unusable", "send another recording"),
)
_OURS: tuple[tuple[type[PersonaRayError], int, str, str, float | None], ...] = (
    (ServiceBusyError, 503, "service.busy", "the service is full: ask again later", 1.0),
    (ServiceLostError, 503, "service.lost", "a replica was lost: send the request again", 1.0),
    (ServiceError, 503, "service.unavailable", "the service does not answer", 5.0),
    (StoreError, 503, "service.store", "the service's database does not answer", 5.0),
    (EngineUnavailableError, 503, "service.recogniser", "the recogniser is missing", 60.0),
    (ModelError, 503, "service.model", "the model cannot be used", 60.0),
    (RecognitionError, 500, "service.recogniser", "the speech recogniser failed", None),
)
# Large uploads lie on disk while they come in.
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_ROOM = Failure(
    503,
    "service.disk",
    "the service's disk is full",
    fix="send the request again later",
    retry_after_s=10.0,
)
_HTTP: Mapping[int, tuple[str, str, str]] = {
    400: ("request.malformed", "the request cannot be read", "see /openapi.json"),
    404: ("request.unknown_path", "there is nothing at this address", "see /openapi.json"),
    405: ("request.method", "this address does not take this method", "see /openapi.json"),
    413: ("request.too_large", "the request is too large", "send less at once"),
    415: ("request.media_type", "the body is of a kind that is not taken", "see /openapi.json"),
}


def failure_of(error: Exception) -> Failure | None:
    """What to answer for an error that is foreseen; None for one that is not."""
    # Ray wraps what a replica raised, and puts its whole traceback into the message.
    cause = getattr(error, "cause", None)
    if isinstance(cause, PersonaRayError):
        error = cause
    if isinstance(error, RequestError):
        return Failure(
            error.status, error.code, str(error), error.field, error.fix, error.retry_after_s
        )
    if isinstance(error, CallError):
        return _audio_failure(error, None)
    if isinstance(error, PersonaRayError):
        for kind, status, code, said, retry_after_s in _OURS:
            if isinstance(error, kind):
                fix = "send the request again later" if retry_after_s else "report the trace id"
                return Failure(status, code, said, fix=fix, retry_after_s=retry_after_s)
    if isinstance(error, RequestValidationError):
        return _validation_failure(error.errors())
    if isinstance(error, HTTPException):
        return _http_failure(error)
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return _NO_ROOM
    return None


def websocket_only(path: str) -> RequestError:
    """For a request to a path that speaks WebSocket alone."""
    return RequestError(
        "request.upgrade",
        f"{path} is a WebSocket, and this is a plain HTTP request",
        status=426,
        fix=f"connect by the protocol websocket: wss://HOST{path}; a proxy before the service has "
        "to pass on Upgrade and Connection",
    )


def unexpected() -> Failure:
    """The answer to an error that nobody foresaw."""
    return Failure(500, "service.failed", "the service failed", fix="report the trace id")


@contextmanager
def field_named(field: str) -> Iterator[None]:
    """What is wrong with audio in here is wrong with `field` of the request."""
    try:
        yield
    except CallError as error:
        raise _audio_failure(error, field).refusal() from None


def misread(
    error: ValidationError,
    code: str = "request.invalid",
    status: int = 422,
    *,
    tagged: bool = False,
    fix: str = "",
) -> RequestError:
    """A body or message that is not of its model. `tagged`: it is one of several kinds, whose name
    stands before each field's. `fix` empty: correct the field."""
    mistakes = error.errors(include_input=False, include_url=False)
    places = [{**one, "loc": one["loc"][1:]} for one in mistakes] if tagged else mistakes
    found = _validation_failure(places)
    return replace(found, code=code, status=status, fix=fix or found.fix).refusal()


def _validation_failure(errors: Sequence[Any]) -> Failure:
    """The first mistakes of a request; its values are not repeated."""
    found = [
        (_field(error["loc"]), str(error["msg"]).removeprefix("Value error, ")) for error in errors
    ]
    field = found[0][0] if found else None
    said = "; ".join(
        f"{name}: {message}" if name else message for name, message in found[:_SHOWN_MISTAKES]
    )
    left = len(found) - _SHOWN_MISTAKES
    more = f"; and {left} more" if left > 0 else ""
    fix = f"correct '{field}'" if field else "see /openapi.json"
    return Failure(422, "request.invalid", f"{said}{more}", field, fix)


def install_failures(app: FastAPI) -> None:
    """Answer every foreseen error of `app`, on requests and on WebSockets, in the one shape."""
    for kind in (PersonaRayError, RequestValidationError, HTTPException, OSError):
        app.add_exception_handler(kind, cast("ExceptionHandler", _handle))


async def _handle(connection: Request | WebSocket, error: Exception) -> JSONResponse | None:
    failure = failure_of(error)
    if failure is None:
        # One that tells a client nothing: the boundary logs and answers it.
        raise error
    connection.scope.setdefault("state", {})["error_code"] = failure.code
    if isinstance(connection, WebSocket):
        await refuse_websocket(connection, failure)
        return None
    return failure.response()


async def refuse_websocket(websocket: WebSocket, failure: Failure) -> None:
    """Before it is accepted: an HTTP answer, where the server can; after: a code and a reason."""
    connecting = websocket.application_state is WebSocketState.CONNECTING
    if connecting and "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(failure.response())
    elif websocket.application_state is not WebSocketState.DISCONNECTED:
        await websocket.close(*close_of(failure))


def close_of(failure: Failure) -> tuple[int, str]:
    """Code and reason (at most 123 bytes) that a WebSocket is closed with."""
    reason = f"{failure.code}: {failure.message}".encode()[:120].decode(errors="ignore")
    return CLOSE_OFFSET + failure.status, reason


def _encodable(text: str) -> str:
    """Names of files and fields may hold what no encoding has."""
    return text.encode(errors="replace").decode()


def _audio_failure(error: CallError, field: str | None) -> Failure:
    for kind, status, code, fix in _AUDIO:
        if isinstance(error, kind):
            again_s = 5.0 if status == 503 else None
            return Failure(status, code, error.detail, field, fix, again_s)
    raise AssertionError("the last kind is CallError itself")


def _http_failure(error: HTTPException) -> Failure:
    code, said, fix = _HTTP.get(
        error.status_code, ("request.refused", "the request is refused", "see /openapi.json")
    )
    detail = error.detail if error.status_code in (400, 413) and error.detail else said
    return Failure(error.status_code, code, detail, fix=fix)


def _field(location: Sequence[Any]) -> str | None:
    """`body -> clips -> 0 -> uri` as clips[0].uri."""
    parts = list(location)
    if parts and parts[0] in ("body", "query", "path", "header", "cookie"):
        parts = parts[1:]
    name = ""
    for part in parts:
        name += f"[{part}]" if isinstance(part, int) else f".{part}" if name else str(part)
    return name or None
