"""Batches of calls, recognised in the background: begun, watched, read, cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response

from persona_ray.errors import RequestError, ServiceBusyError
from persona_ray.serving.documents import (
    CONFLICT,
    ERRORS,
    UNKNOWN,
    body,
    channel_field,
    files_field,
)
from persona_ray.serving.gate import Caller
from persona_ray.serving.intake import (
    MULTIPART,
    channel_of,
    file_name,
    files_of,
    known_fields,
    media_type,
    read_form,
    read_json,
    read_upload,
)
from persona_ray.serving.jobs import JobRunner, keep_upload, uploads_dir
from persona_ray.serving.schemas import (
    JobAnswer,
    JobCallAnswer,
    JobCounts,
    JobRequest,
    JobResults,
)
from persona_ray.serving.uris import allowed_uri
from persona_ray.store.jobs import CallState, Job, JobCall
from persona_ray.vault.seal import vault_of

if TYPE_CHECKING:
    from persona_ray.config.serving import LimitsConfig
    from persona_ray.serving.application import Services
    from persona_ray.vault.seal import Vault

_FORM = {
    "files": files_field("whole calls with the customer on a channel of its own"),
    "channel": channel_field("the customer's in every file"),
}
_LONGEST_KEY = 200
# So many batches of the largest size may wait, over all callers.
_WAITING_BATCHES = 10


def jobs(services: Services) -> APIRouter:
    """POST /v1/jobs, GET and DELETE /v1/jobs/{id}, GET /v1/jobs/{id}/results."""
    runner: JobRunner | None = None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal runner
        runner = JobRunner(services)
        async with runner.running():
            yield

    admitted = Depends(services.gate.requires("jobs"))
    router = APIRouter(
        prefix="/v1/jobs",
        tags=["jobs"],
        responses={**ERRORS, **UNKNOWN},
        lifespan=lifespan,
    )
    limits, store = services.config.serving.limits, services.store.jobs
    vault = vault_of(services.config)

    @router.post(
        "",
        status_code=202,
        summary="Begin a batch of calls",
        openapi_extra=body(JobRequest, _FORM, ("files", "channel")),
        responses={**CONFLICT},
    )
    async def begin(
        request: Request,
        response: Response,
        caller: Caller = admitted,
        idempotency_key: Annotated[
            str | None,
            Header(
                max_length=_LONGEST_KEY,
                description="the same request under the same key is the same job, however often "
                "it is sent",
            ),
        ] = None,
    ) -> JobAnswer:
        """The calls are recognised one after the other; the answer names the job to ask for."""
        job_id = secrets.token_hex(8)
        folder = uploads_dir(services.config) / job_id
        job = None
        try:
            calls, fingerprint = await _calls(request, limits, folder, vault)

            def create() -> Job:
                waiting, owner = store.waiting(), caller.key_id
                if waiting + len(calls) > _WAITING_BATCHES * limits.max_jobs:
                    raise ServiceBusyError(f"{waiting} calls wait already")
                now = services.store.now()
                return store.create(job_id, owner, calls, now, fingerprint, idempotency_key)

            job = await asyncio.to_thread(create)
        finally:
            if job is None or job.job_id != job_id:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        if job.fingerprint != fingerprint:
            raise RequestError(
                "job.idempotency",
                f"another request was sent under this idempotency key: job {job.job_id}",
                status=409,
                field="idempotency-key",
                fix="use a new key for a new request",
            )
        if runner is not None:
            runner.wake()
        response.headers["location"] = f"/v1/jobs/{job.job_id}"
        return _answer(job)

    async def own(job_id: str, caller: Caller = admitted) -> Job:
        return _own(await asyncio.to_thread(store.get, job_id), caller)

    owned = Depends(own)

    @router.get("/{job_id}", summary="How far it is")
    async def status(job: Job = owned) -> JobAnswer:
        return _answer(job)

    @router.get("/{job_id}/results", summary="What came of its calls so far")
    async def results(
        job: Job = owned,
        after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> JobResults:
        """In the order of the request, those behind number `after`."""
        found = await asyncio.to_thread(store.outcomes, job.job_id, after, limit + 1)
        page = [JobCallAnswer.model_validate(one, from_attributes=True) for one in found[:limit]]
        return JobResults(calls=page, next=page[-1].number if len(found) > limit else None)

    @router.delete("/{job_id}", summary="Cancel it, or delete it")
    async def cancel(
        job: Job = owned,
        forget: Annotated[
            bool, Query(description="delete the job with all its answers, too")
        ] = False,
    ) -> JobAnswer:
        """Calls that are done keep their answers; the others are not recognised any more."""

        def work() -> Job | None:
            store.cancel(job.job_id, services.store.now())
            found = store.get(job.job_id)
            shutil.rmtree(uploads_dir(services.config) / job.job_id, ignore_errors=True)
            if forget:
                store.delete(job.job_id)
            return found

        ended = await asyncio.to_thread(work)
        return _answer(ended or job)

    return router


def _own(job: Job | None, caller: Caller) -> Job:
    """The job, if it is the caller's; others are not even known to be there."""
    if job is None or (job.owner != caller.key_id and not caller.allows("admin")):
        raise RequestError(
            "job.unknown",
            "there is no such job, or it is over for long",
            status=404,
            field="job_id",
            fix="ask with the key that began it",
        )
    return job


async def _calls(
    request: Request, limits: LimitsConfig, folder: Path, vault: Vault
) -> tuple[list[JobCall], str]:
    """The calls of a request, uploads written to `folder`, and what tells it from others."""
    if media_type(request) != MULTIPART:
        asked = await read_json(request, JobRequest)
        _check_count(len(asked.calls), limits)
        calls = [
            JobCall(
                call.name or call.uri,
                allowed_uri(call.uri, limits.uri_roots, f"calls[{number}].uri"),
                call.channel,
            )
            for number, call in enumerate(asked.calls)
        ]
        return calls, _fingerprint([[call.name, call.uri, call.channel] for call in calls])
    async with read_form(request, limits.max_jobs) as form:
        known_fields(form, *_FORM)
        files, channel = files_of(form, "files"), channel_of(form)
        if not files or channel is None:
            field = "channel" if files else "files"
            raise RequestError(
                "request.invalid",
                f"{field}: there is none",
                field=field,
                fix="curl -F files=@a.wav -F files=@b.wav -F channel=1",
            )
        _check_count(len(files), limits)
        calls, parts = [], []
        for number, file in enumerate(files):
            data = await read_upload(file, f"files[{number}]", limits)
            path = folder / str(number)
            await asyncio.to_thread(keep_upload, path, data, vault)
            calls.append(JobCall(file_name(file), str(path), channel, uploaded=True))
            parts.append([file_name(file), hashlib.sha256(data).hexdigest(), channel])
        return calls, _fingerprint(parts)


def _check_count(count: int, limits: LimitsConfig) -> None:
    if count > limits.max_jobs:
        raise RequestError(
            "request.too_many",
            f"{count} calls: one job has at most {limits.max_jobs}",
            status=413,
            field="calls",
            fix="begin several jobs",
        )


def _fingerprint(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _answer(job: Job) -> JobAnswer:
    counts = {state.value: job.counts.get(state, 0) for state in CallState}
    open_ = counts["waiting"] + counts["running"]
    total = sum(counts.values())
    state: Literal["queued", "running", "done", "cancelled"] = "queued"
    if job.cancelled:
        state = "cancelled"
    elif not open_:
        state = "done"
    elif counts["running"] or open_ < total:
        state = "running"
    return JobAnswer(
        id=job.job_id,
        state=state,
        calls=JobCounts(total=total, **counts),
        created_at=job.created_at,
        ended_at=job.ended_at,
    )
