"""Working off batches of calls, beside the requests that are answered at once.

Every ingress replica takes calls from the store under leases that it renews while it lives; those
of one that died are taken by another, or by itself after its restart (`persona_ray.store.jobs`).
A replica that is stopped gives its calls back at once. Uploaded recordings lie under the workspace
until their call is done; jobs and their answers are deleted some time after they ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.config.privacy import Sealed
from persona_ray.errors import (
    PersonaRayError,
    ServiceBusyError,
    ServiceLostError,
    StorageAwayError,
    StoreError,
    VaultError,
)
from persona_ray.files import write_whole
from persona_ray.serving.answers import call_answer, note_call, timings
from persona_ray.serving.failures import failure_of, unexpected
from persona_ray.serving.service import Recording
from persona_ray.serving.uris import allowed_uri
from persona_ray.store.jobs import MOST_ATTEMPTS
from persona_ray.vault.seal import vault_of
from persona_ray.watch import spans
from persona_ray.watch.logs import log_event, log_exception

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.serving.application import Services
    from persona_ray.store.jobs import Claim
    from persona_ray.vault.seal import Vault

LEASE_S = 60.0
# Another replica's job, or a lease that ran out, is noticed after so long at most.
POLL_S = 2.0
BUSY_S = 2.0
LOST_S = 1.0
# The storage of its recording.
AWAY_S = 15.0
_SWEEP_S = 3600.0


def uploads_dir(config: RunConfig) -> Path:
    """Where uploaded recordings of jobs lie, in a folder for each job."""
    return config.workspace / "jobs"


def keep_upload(path: Path, data: bytes, vault: Vault) -> None:
    """Write an uploaded recording, sealed. Raises OSError, VaultError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, vault.kept(Sealed.RECORDINGS, data, upload_place(path)))


def upload_place(path: Path) -> str:
    """The place of an uploaded recording, see `persona_ray.vault.seal`."""
    return f"job_uploads {path.parent.name} {path.name}"


class JobRunner:
    """Takes calls of jobs and recognises them, a few at a time."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._jobs = services.store.jobs
        self._vault = vault_of(services.config)
        self._held: set[str] = set()
        self._come = asyncio.Event()

    def wake(self) -> None:
        """There is a new job."""
        self._come.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Works while the application is up; gives back at the end what is not done."""
        count = self._services.config.serving.limits.job_calls_at_once
        tasks = [asyncio.create_task(self._work()) for _ in range(count)]
        tasks += [asyncio.create_task(self._renew()), asyncio.create_task(self._sweep())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            claim = None
            with _store_failures():
                claim = await asyncio.to_thread(self._claim)
            if claim is None:
                self._come.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._come.wait(), POLL_S)
                continue
            self._held.add(claim.lease)
            try:
                name = f"{claim.job_id}-{claim.number}"
                with spans.work("call of a job", name, job_id=claim.job_id):
                    await self._one(claim)
            finally:
                self._held.discard(claim.lease)

    def _claim(self) -> Claim | None:
        return self._jobs.claim(self._store.now(), LEASE_S)

    def _give_back(self, claim: Claim, wait_s: float, counts: bool) -> None:
        again = self._store.now() + timedelta(seconds=wait_s)
        self._jobs.give_back(claim, again, counts=counts)

    async def _one(self, claim: Claim) -> None:
        answer = failure = None
        try:
            answer = await self._recognised(claim)
        except asyncio.CancelledError:
            # Not in a thread: nothing may be awaited any more.
            self._give_back(claim, 0.0, counts=False)
            raise
        except (ServiceBusyError, ServiceLostError, StoreError, VaultError) as error:
            busy = isinstance(error, ServiceBusyError)
            wait_s = BUSY_S if busy else LOST_S
            with _store_failures():
                await asyncio.to_thread(self._give_back, claim, wait_s, counts=not busy)
            return
        except Exception as error:
            away = isinstance(error, StorageAwayError) and error.transient
            if away and claim.attempts < MOST_ATTEMPTS:
                with _store_failures():
                    await asyncio.to_thread(self._give_back, claim, AWAY_S, counts=True)
                return
            failure = failure_of(error)
            if failure is None:
                log_exception("call of a job failed", error, job_id=claim.job_id)
                failure = unexpected()
        detail = None if failure is None else failure.detail().model_dump()
        with _store_failures():
            now = await asyncio.to_thread(self._store.now)
            noted = await asyncio.to_thread(self._jobs.finish, claim, now, answer, detail)
            if noted and claim.call.uploaded:
                await asyncio.to_thread(Path(claim.call.uri).unlink, missing_ok=True)
        state = "done" if failure is None else failure.code
        log_event("call of a job", job_id=claim.job_id, state=state, attempt=claim.attempts)

    async def _recognised(self, claim: Claim) -> dict[str, object]:
        begun, call = time.perf_counter(), claim.call
        limits = self._services.config.serving.limits
        data, uri = None, ""
        if call.uploaded:
            data = await asyncio.to_thread(_uploaded, Path(call.uri), self._vault)
        else:
            # The roots may be others than when the job was made.
            uri = allowed_uri(call.uri, limits.uri_roots, "uri")
        read_s = time.perf_counter() - begun
        recording = Recording(call.name, call.channel, data=data, uri=uri)
        try:
            async with asyncio.timeout(limits.request_timeout_s):
                answered = await self._services.personality.call(recording)
        except TimeoutError:
            raise ServiceLostError("the call was not answered in time") from None
        timings_s = timings(answered, read_s, begun)
        note_call(self._services, answered, timings_s)
        return call_answer(answered, self._services.config, timings_s).model_dump(mode="json")

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(LEASE_S / 3)
            with _store_failures():
                now = await asyncio.to_thread(self._store.now)
                until = now + timedelta(seconds=LEASE_S)
                await asyncio.to_thread(self._jobs.keep, list(self._held), until)

    async def _sweep(self) -> None:
        """Delete what is over: old jobs, and recordings of none."""
        while True:
            with _store_failures():
                await asyncio.to_thread(self._expire)
            await asyncio.sleep(_SWEEP_S)

    def _expire(self) -> None:
        kept = timedelta(days=self._services.config.serving.limits.job_days)
        self._jobs.expire(self._store.now() - kept)
        known = self._jobs.known()
        folder = uploads_dir(self._services.config)
        for found in folder.iterdir() if folder.is_dir() else ():
            # A job is in the store only after its recordings are on disk.
            fresh = time.time() - found.stat().st_mtime < _SWEEP_S
            if found.name not in known and not fresh:
                shutil.rmtree(found, ignore_errors=True)


@contextlib.contextmanager
def _store_failures() -> Iterator[None]:
    """The store may be away for a while: what is not noted now is done again under a new lease."""
    try:
        yield
    except (PersonaRayError, OSError) as error:
        log_event("jobs cannot be noted", logging.ERROR, error=type(error).__name__)


def _uploaded(path: Path, vault: Vault) -> bytes:
    try:
        return vault.open(path.read_bytes(), upload_place(path))
    except OSError:
        raise ServiceLostError("an uploaded recording cannot be read") from None
