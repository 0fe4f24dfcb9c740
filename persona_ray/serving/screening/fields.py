"""What several requests and messages of clients have: times, whose they are, and what a network
says of a caller."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, AwareDatetime, StringConstraints

from persona_ray.serving.paging import in_utc

# Clocks of phones and switches may be ahead of ours by this much.
_AHEAD = timedelta(days=1)


def _has_come(at: datetime) -> datetime:
    if at > datetime.now(UTC) + _AHEAD:
        raise ValueError("in the future: the call would stand first in the inbox till then")
    return at


# For which user something is asked (`services.user_of`).
ForUser = Annotated[str, Query(max_length=128, description="whose; with the scope operator")]
# Any moment, and that of a call that comes in.
Moment = Annotated[AwareDatetime, AfterValidator(in_utc)]
CallTime = Annotated[Moment, AfterValidator(_has_come)]


def _without_zeros(number: str) -> str:
    return number.replace("\x00", "")


# As a network has it: what is no number is screened as a hidden one, not refused.
CallerNumber = Annotated[str, StringConstraints(max_length=1024), AfterValidator(_without_zeros)]
