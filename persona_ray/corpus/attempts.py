"""Which workers died on which call: a call that ends one after the other is set aside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from persona_ray.corpus.staging import Staging

# A call that has ended this many workers is set aside.
_MOST_TRIES = 3


class Attempts:
    """Notes beside staged calls, written before a call is begun: a crash in a native library
    leaves no time after."""

    def __init__(self, staging: Staging, run: str) -> None:
        """`run` names this build among others. Tries of earlier ones do not count: they were
        killed from outside."""
        self._staging = staging
        self._run = run

    @contextmanager
    def begun(self, call_id: str) -> Iterator[str]:
        """The block commits the call; given is why it must not be tried again, or nothing.

        The note goes when the block ends well: a call whose block raises was tried, too.
        """
        note = self._staging.path(call_id).with_suffix(".tries")
        tries = 0
        try:
            run, _, count = note.read_text().partition(" ")
            tries = int(count) if run == self._run and count.isdigit() else 0
        except FileNotFoundError:
            note.parent.mkdir(exist_ok=True)
        if tries < _MOST_TRIES:
            note.write_text(f"{self._run} {tries + 1}")
            yield ""
        else:
            yield f"{tries} workers died on this call (out of memory, or a crash in a library)"
        note.unlink(missing_ok=True)
