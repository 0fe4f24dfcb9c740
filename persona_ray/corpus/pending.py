"""The calls of the archive that are not done yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from persona_ray.corpus.archive import CallArchive
from persona_ray.corpus.finished import FinishedCalls
from persona_ray.corpus.forgotten import NOBODY, Forgotten
from persona_ray.corpus.records import BadRow
from persona_ray.corpus.staging import Staging
from persona_ray.types import CallRecord

Call = CallRecord | BadRow


@dataclass(frozen=True, slots=True)
class PendingCalls:
    """Calls that are neither staged nor in shards, nor of who was forgotten, looked for anew at
    every walk. Pickles."""

    archive: CallArchive
    staging: Staging
    finished: FinishedCalls
    forgotten: Forgotten = NOBODY

    def __iter__(self) -> Iterator[Call]:
        """In the order of the archive, a page in memory at a time. Raises what `pages` raises."""
        for page in self.archive.pages():
            calls = self.archive.read(page)
            # Rows without call id are not bounded by the page size.
            packets = ([call] for call in calls) if page.first is None else [list(calls)]
            for packet in packets:
                done = self.finished.among([call.call_id for call in packet])
                for call in packet:
                    if call.call_id in done or self.staging.has(call.call_id):
                        continue
                    if not self.forgotten.has("customer", call.customer_id):
                        yield call
