"""What users are told of their calls, and its way to webhooks.

A notice is there for as long as its call is. Whoever listens names the last notice it has and gets
those after it. A delivery to a webhook is sent by one replica at a time, under a lease.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from persona_ray.store.database import Database
from persona_ray.store.screening.call_tables import (
    ScreenedCallRow,
    ScreeningDeliveryRow,
    ScreeningNoticeRow,
)

WAITING, DONE, GIVEN_UP = "waiting", "done", "given_up"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a user is told of a call: `kind` is ask, screen, verdict or corrected."""

    number: int
    user_id: str
    call_id: str
    kind: str
    body: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice that this process sends to a webhook, for the `attempts`th time."""

    notice: Notice
    url: str
    attempts: int
    lease: str


def notify(
    session: Session,
    call: ScreenedCallRow,
    kind: str,
    body: Mapping[str, Any],
    webhooks: Sequence[str] = (),
) -> int:
    """Add a notice within the caller's transaction, with a delivery to each webhook."""
    now = datetime.now(UTC)
    row = ScreeningNoticeRow(
        user_id=call.user_id, call_id=call.call_id, kind=kind, body=dict(body), at=now
    )
    session.add(row)
    session.flush()
    for url in dict.fromkeys(webhooks):
        session.add(
            ScreeningDeliveryRow(
                notice_id=row.id, url=url, state=WAITING, attempts=0, lease="", due_at=now, said=""
            )
        )
    return row.id


class NoticeRepository:
    """Notices by user, deliveries by when they are due."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, user_id: str, number: int, limit: int = 100) -> list[Notice]:
        """A user's notices behind `number`, in order."""
        query = (
            select(ScreeningNoticeRow)
            .where(ScreeningNoticeRow.user_id == user_id, ScreeningNoticeRow.id > number)
            .order_by(ScreeningNoticeRow.id)
            .limit(limit)
        )
        with self._database.read() as session:
            return [_notice(row) for row in session.scalars(query)]

    def last(self, user_id: str) -> int:
        """Number of a user's last notice, 0 where there is none."""
        query = (
            select(ScreeningNoticeRow.id)
            .where(ScreeningNoticeRow.user_id == user_id)
            .order_by(ScreeningNoticeRow.id.desc())
            .limit(1)
        )
        with self._database.read() as session:
            return session.scalar(query) or 0

    def claim(self, now: datetime, lease_s: float) -> Delivery | None:
        """A delivery that is due, to be sent within `lease_s`; None: there is none."""
        row_due = (ScreeningDeliveryRow.state == WAITING, ScreeningDeliveryRow.due_at <= now)
        query = (
            select(ScreeningDeliveryRow, ScreeningNoticeRow)
            .join(ScreeningNoticeRow, ScreeningNoticeRow.id == ScreeningDeliveryRow.notice_id)
            .where(*row_due)
            .order_by(ScreeningDeliveryRow.due_at)
            .limit(1)
        )
        # Most of the time there is none, and no lock is needed to see that.
        with self._database.read() as session:
            if session.execute(query).first() is None:
                return None
        with self._database.write() as session:
            found = session.execute(query).first()
            if found is None:
                return None
            row, notice = found
            row.attempts += 1
            row.lease = secrets.token_hex(8)
            # Of a sender that dies it is due again when the lease is over.
            row.due_at = now + timedelta(seconds=lease_s)
            return Delivery(_notice(notice), row.url, row.attempts, row.lease)

    def delivered(self, delivery: Delivery, said: str) -> None:
        """It has arrived; `said` is what was answered."""
        self._close(delivery, DONE, said)

    def give_up(self, delivery: Delivery, said: str) -> None:
        """It is not tried any more; `said` is why."""
        self._close(delivery, GIVEN_UP, said)

    def try_again(self, delivery: Delivery, at: datetime, said: str) -> None:
        """It is due again at `at`."""
        self._change(delivery, {"due_at": at, "lease": "", "said": said})

    def deliveries(self, user_id: str, call_id: str) -> list[tuple[str, str, int, str]]:
        """Of a call: URL, state, attempts and what was said last."""
        query = (
            select(ScreeningDeliveryRow)
            .join(ScreeningNoticeRow, ScreeningNoticeRow.id == ScreeningDeliveryRow.notice_id)
            .where(ScreeningNoticeRow.user_id == user_id, ScreeningNoticeRow.call_id == call_id)
            .order_by(ScreeningDeliveryRow.notice_id, ScreeningDeliveryRow.url)
        )
        with self._database.read() as session:
            return [(row.url, row.state, row.attempts, row.said) for row in session.scalars(query)]

    def _close(self, delivery: Delivery, state: str, said: str) -> None:
        self._change(delivery, {"state": state, "lease": "", "said": said})

    def _change(self, delivery: Delivery, values: Mapping[str, Any]) -> None:
        mine = (
            ScreeningDeliveryRow.notice_id == delivery.notice.number,
            ScreeningDeliveryRow.url == delivery.url,
            ScreeningDeliveryRow.lease == delivery.lease,
        )
        with self._database.write() as session:
            # Where the lease ran out another process sends it: what that one finds counts.
            session.execute(update(ScreeningDeliveryRow).where(*mine).values(**values))


def _notice(row: ScreeningNoticeRow) -> Notice:
    return Notice(row.id, row.user_id, row.call_id, row.kind, dict(row.body), row.at)
