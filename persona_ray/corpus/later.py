"""Calls whose audio cannot be had now: the storage fails, so nothing is said of the call.

They are neither staged nor set aside, and the next build or job tries them again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from persona_ray.errors import ArchiveError, StorageAwayError
from persona_ray.remote import WAITS_S, patiently

ResultT = TypeVar("ResultT")

# So many calls of one worker, one after the other: it is not these calls.
_MOST_IN_A_ROW = 3


class Patience:
    """How one worker waits for a storage that fails."""

    def __init__(self, waits_s: Sequence[float] = WAITS_S) -> None:
        self._waits_s = waits_s
        self._in_a_row = 0

    def reach(self, work: Callable[[], ResultT]) -> ResultT | StorageAwayError:
        """What `work` gives, tried again while its storage is away; the error where it stays so.

        Raises ArchiveError once no call could be had for a while.
        """
        try:
            found = patiently(work, self._waits_s)
        except StorageAwayError as error:
            self._in_a_row += 1
            if self._in_a_row >= _MOST_IN_A_ROW:
                raise ArchiveError(
                    f"the audio of {self._in_a_row} calls one after the other cannot be had "
                    f"({error.detail}): mend the storage, its keys or archive.audio_root and run "
                    "this again, it goes on where it was"
                ) from None
            return error
        self._in_a_row = 0
        return found


def tell_later(reasons: Sequence[str]) -> None:
    """A warning that some calls are left for the next run; `reasons` one for each."""
    if reasons:
        logging.getLogger(__name__).warning(
            "%d calls are left for the next run: their audio cannot be had now (%s)",
            len(reasons),
            reasons[0],
        )
