"""Batches of calls: what is to be recognised, by whom it is being done, what came of it.

Workers take calls one by one with a lease. One that ends without a word (a killed process) lets its
lease run out, and the call is another's: a job goes on after a restart by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.orm import Session

from persona_ray.store.database import Database, affected, chunks
from persona_ray.store.service_tables import JobCallRow, JobRow

MOST_ATTEMPTS = 3
_INTERRUPTED = {
    "code": "job.interrupted",
    "message": f"the service broke off {MOST_ATTEMPTS} times while it worked on this call",
    "field": None,
    "fix": "send the call again; if it happens again, report the job's id",
    "trace_id": "",
}


class CallState(StrEnum):
    """Of one call of a job."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class JobCall:
    """A call to recognise. `uri` is what is opened; of an upload (`uploaded`) a file that belongs
    to the job."""

    name: str
    uri: str
    channel: int
    uploaded: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """A job and how many of its calls are in each state."""

    job_id: str
    owner: str
    fingerprint: str
    created_at: datetime
    ended_at: datetime | None
    cancelled: bool
    counts: Mapping[CallState, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Claim:
    """A call that somebody works on, from 0 in its job, under a lease."""

    job_id: str
    number: int
    call: JobCall
    lease: str
    attempts: int


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of one call so far: an answer, an error, or neither yet."""

    number: int
    name: str
    state: CallState
    answer: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


class JobRepository:
    """Jobs by their id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        job_id: str,
        owner: str,
        calls: Sequence[JobCall],
        now: datetime,
        fingerprint: str = "",
        idempotency_key: str | None = None,
    ) -> Job:
        """The new job, or the one that this owner made before under this idempotency key: its id
        and fingerprint tell which."""
        with self._database.write() as session:
            if idempotency_key is not None:
                query = select(JobRow.job_id).where(
                    JobRow.owner == owner, JobRow.idempotency_key == idempotency_key
                )
                before = session.scalar(query)
                if before is not None:
                    return _jobs(session, [before])[0]
            row = {
                "job_id": job_id,
                "owner": owner,
                "idempotency_key": idempotency_key,
                "fingerprint": fingerprint,
                "created_at": now,
                "ended_at": None,
                "cancelled": False,
            }
            session.execute(insert(JobRow), [row])
            rows = [_values(job_id, number, call) for number, call in enumerate(calls)]
            for some in chunks(rows):
                session.execute(insert(JobCallRow), list(some))
            return _jobs(session, [job_id])[0]

    def get(self, job_id: str) -> Job | None:
        with self._database.read() as session:
            found = _jobs(session, [job_id])
        return found[0] if found else None

    def known(self) -> set[str]:
        """The ids of all jobs."""
        with self._database.read() as session:
            return set(session.scalars(select(JobRow.job_id)))

    def outcomes(self, job_id: str, after: int = -1, limit: int = 100) -> list[CallOutcome]:
        """Of the calls behind number `after`, in their order."""
        row = JobCallRow
        query = select(row.number, row.name, row.state, row.answer, row.error)
        query = query.where(row.job_id == job_id, row.number > after).order_by(row.number)
        with self._database.read() as session:
            return [
                CallOutcome(number, name, CallState(state), answer, error)
                for number, name, state, answer, error in session.execute(query.limit(limit))
            ]

    def waiting(self) -> int:
        """Calls that nobody has begun, over all jobs."""
        query = select(func.count()).where(JobCallRow.state == CallState.WAITING)
        with self._database.read() as session:
            return session.scalar(query) or 0

    def claim(self, now: datetime, lease_s: float) -> Claim | None:
        """The next call that waits or whose worker is gone, now the caller's; None if there is
        none. A call that took its workers with it too often fails instead."""
        with self._database.read() as session:
            if session.execute(_claimable(now)).first() is None:
                return None
        with self._database.write() as session:
            while True:
                row = session.execute(_claimable(now)).mappings().first()
                if row is None:
                    return None
                if row["attempts"] < MOST_ATTEMPTS:
                    break
                failed = {"state": CallState.FAILED, "error": _INTERRUPTED, "lease": ""}
                _change(session, row["job_id"], row["number"], **failed)
                _end(session, [row["job_id"]], now)
            lease = secrets.token_hex(8)
            taken = {"state": CallState.RUNNING, "lease": lease, "attempts": row["attempts"] + 1}
            until = now + timedelta(seconds=lease_s)
            _change(session, row["job_id"], row["number"], until=until, **taken)
        call = JobCall(row["name"], row["uri"], row["channel"], row["uploaded"])
        return Claim(row["job_id"], row["number"], call, lease, row["attempts"] + 1)

    def keep(self, leases: Collection[str], until: datetime) -> None:
        """Prolong leases."""
        if leases:
            change = update(JobCallRow).where(JobCallRow.lease.in_(leases)).values(until=until)
            with self._database.write() as session:
                session.execute(change)

    def give_back(self, claim: Claim, until: datetime, counts: bool) -> None:
        """Let the call wait again, not to be tried before `until`. `counts`: as an attempt."""
        attempts = claim.attempts if counts else claim.attempts - 1
        values = {"state": CallState.WAITING, "lease": "", "attempts": attempts, "until": until}
        with self._database.write() as session:
            session.execute(_held(claim).values(values))

    def finish(
        self,
        claim: Claim,
        now: datetime,
        answer: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> bool:
        """Note what came of a call; False where it is the caller's no more (cancelled, taken over),
        and nothing is noted."""
        state = CallState.DONE if error is None else CallState.FAILED
        values = {"state": state, "lease": "", "answer": answer, "error": error}
        with self._database.write() as session:
            noted = affected(session.execute(_held(claim).values(values))) == 1
            _end(session, [claim.job_id], now)
        return noted

    def cancel(self, job_id: str, now: datetime) -> None:
        """End a job: what is not done is cancelled, also what is being worked on."""
        undone = JobCallRow.state.in_([CallState.WAITING, CallState.RUNNING])
        with self._database.write() as session:
            values = {"state": CallState.CANCELLED, "lease": ""}
            change = update(JobCallRow).where(JobCallRow.job_id == job_id, undone).values(values)
            if affected(session.execute(change)):
                marked = update(JobRow).where(JobRow.job_id == job_id)
                session.execute(marked.values(cancelled=True))
            _end(session, [job_id], now)

    def delete(self, job_id: str) -> None:
        """With all its calls and answers."""
        with self._database.write() as session:
            _delete(session, [job_id])
        self._database.flush_deleted()

    def expire(self, ended_before: datetime) -> list[str]:
        """Delete the jobs that ended before; their ids."""
        with self._database.read() as session:
            old = list(session.scalars(select(JobRow.job_id).where(JobRow.ended_at < ended_before)))
        if old:
            with self._database.write() as session:
                _delete(session, old)
            self._database.flush_deleted()
        return old

    def uploads(self, names: Collection[str]) -> list[str]:
        """Files that were uploaded for calls of these names."""
        found: list[str] = []
        for some in chunks(sorted(names)):
            theirs = select(JobCallRow.uri).where(JobCallRow.uploaded, JobCallRow.name.in_(some))
            with self._database.read() as session:
                found += session.scalars(theirs)
        return found

    def forget(self, session: Session, names: Collection[str]) -> int:
        """Delete a customer's calls, by the names they were sent with and the URIs they were at, in
        the caller's transaction. Their uploads go before (`uploads`)."""
        deleted = 0
        for some in chunks(sorted(names)):
            theirs = or_(JobCallRow.name.in_(some), JobCallRow.uri.in_(some))
            touched = session.scalars(select(JobCallRow.job_id).where(theirs).distinct()).all()
            deleted += affected(session.execute(delete(JobCallRow).where(theirs)))
            _end(session, touched, datetime.now(UTC))
        return deleted


def _claimable(now: datetime) -> Any:
    row = JobCallRow
    due = or_(row.until.is_(None), row.until <= now)
    open_ = or_(
        and_(row.state == CallState.WAITING, due),
        and_(row.state == CallState.RUNNING, row.until <= now),
    )
    columns = (row.job_id, row.number, row.name, row.uri, row.channel, row.uploaded, row.attempts)
    query = select(*columns).join(JobRow, JobRow.job_id == row.job_id).where(open_)
    return query.order_by(JobRow.created_at, row.job_id, row.number).limit(1)


def _change(session: Session, job_id: str, number: int, **values: Any) -> None:
    one = and_(JobCallRow.job_id == job_id, JobCallRow.number == number)
    session.execute(update(JobCallRow).where(one).values(values))


def _held(claim: Claim) -> Any:
    """The call, where it is still under the claim's lease."""
    return update(JobCallRow).where(
        JobCallRow.job_id == claim.job_id,
        JobCallRow.number == claim.number,
        JobCallRow.lease == claim.lease,
        JobCallRow.state == CallState.RUNNING,
    )


def _end(session: Session, job_ids: Sequence[str], now: datetime) -> None:
    """Note when a job ended, once nothing of it is left to do."""
    open_ = select(JobCallRow.job_id).where(
        JobCallRow.job_id.in_(job_ids),
        JobCallRow.state.in_([CallState.WAITING, CallState.RUNNING]),
    )
    ended = update(JobRow).where(
        JobRow.job_id.in_(job_ids), JobRow.job_id.not_in(open_), JobRow.ended_at.is_(None)
    )
    session.execute(ended.values(ended_at=now), execution_options={"synchronize_session": False})


def _delete(session: Session, job_ids: Sequence[str]) -> None:
    for some in chunks(job_ids):
        session.execute(delete(JobCallRow).where(JobCallRow.job_id.in_(some)))
        session.execute(delete(JobRow).where(JobRow.job_id.in_(some)))


def _jobs(session: Session, job_ids: Sequence[str]) -> list[Job]:
    counted = select(JobCallRow.job_id, JobCallRow.state, func.count())
    counted = counted.where(JobCallRow.job_id.in_(job_ids))
    counts: dict[str, dict[CallState, int]] = {}
    for job_id, state, count in session.execute(
        counted.group_by(JobCallRow.job_id, JobCallRow.state)
    ):
        counts.setdefault(job_id, {})[CallState(state)] = count
    columns = (
        JobRow.job_id,
        JobRow.owner,
        JobRow.fingerprint,
        JobRow.created_at,
        JobRow.ended_at,
        JobRow.cancelled,
    )
    rows = session.execute(select(*columns).where(JobRow.job_id.in_(job_ids)))
    return [Job(*row, counts=counts.get(row[0], {})) for row in rows]


def _values(job_id: str, number: int, call: JobCall) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "number": number,
        "name": call.name,
        "uri": call.uri,
        "uploaded": call.uploaded,
        "channel": call.channel,
        "state": CallState.WAITING,
        "attempts": 0,
        "lease": "",
        "until": None,
        "answer": None,
        "error": None,
    }
