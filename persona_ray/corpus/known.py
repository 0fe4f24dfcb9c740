"""Calls that a corpus has heard already: their sentences need no recogniser."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from persona_ray.audio.coding import decode_flac
from persona_ray.config import RunConfig
from persona_ray.corpus.dataset import CorpusDataset
from persona_ray.corpus.manifest import MANIFEST, changed_settings, corpus_settings
from persona_ray.corpus.process import CHANNEL_SWAPPED
from persona_ray.corpus.records import CallOutcome
from persona_ray.corpus.rows import ARCHIVE_SOURCE
from persona_ray.corpus.tables import call_outcome, clip_info
from persona_ray.types import CallRecord, CallStatus, Clip

# Calls are asked for in the order of their ids, in which they stand in each build's shards.
_CACHED_GROUPS = 4


@dataclass(frozen=True, slots=True)
class KnownCall:
    """What became of a call, and its clips in order of time."""

    outcome: CallOutcome
    clips: tuple[Clip, ...]


class KnownCalls:
    """Calls of a finished corpus by their ids. Pickles as its dataset."""

    def __init__(self, dataset: CorpusDataset) -> None:
        self._dataset = dataset
        self._group = lru_cache(maxsize=_CACHED_GROUPS)(self._read_group)

    def __reduce__(self) -> tuple[Any, ...]:
        return KnownCalls, (self._dataset,)

    def find(self, call: CallRecord) -> KnownCall | None:
        """None where hearing the call anew could give something else: the corpus has it not, has
        set it aside, or the archive tells something else of it now."""
        outcome = self._outcome(call.call_id)
        if outcome is None or not _still_so(call, outcome):
            return None
        return KnownCall(outcome, tuple(self._clips(call.call_id)) if outcome.clips else ())

    def _outcome(self, call_id: str) -> CallOutcome | None:
        found = list(self._rows(self._call_bounds, call_id))
        return call_outcome(found[-1]) if found else None

    def _clips(self, call_id: str) -> Iterator[Clip]:
        for row in self._rows(self._clip_bounds, call_id):
            info = clip_info(row)
            samples, rate_hz = decode_flac(row["audio"])
            values = {field.name: getattr(info, field.name) for field in fields(info)}
            yield Clip(**values, samples=samples, sample_rate_hz=rate_hz)

    def _rows(
        self, bounds: list[tuple[str, int, str, str]], call_id: str
    ) -> Iterator[dict[str, Any]]:
        for name, group, first, last in bounds:
            if first <= call_id <= last:
                table = self._group(name, group)
                yield from table.filter(pc.equal(table["call_id"], call_id)).to_pylist()

    @cached_property
    def _call_bounds(self) -> list[tuple[str, int, str, str]]:
        return list(self._dataset.call_bounds(self._dataset.manifest.call_shards))

    @cached_property
    def _clip_bounds(self) -> list[tuple[str, int, str, str]]:
        return list(self._dataset.call_bounds(self._dataset.manifest.clip_shards))

    def _read_group(self, name: str, group: int) -> pa.Table:
        return self._dataset.read_group(name, group, None)


def known_calls(config: RunConfig) -> tuple[KnownCalls | None, str]:
    """The corpus of the workspace; where it cannot stand in for hearing, None and why not.

    Raises CorpusError for one that is damaged.
    """
    if not (config.corpus_dir / MANIFEST).is_file():
        return None, "the workspace has no corpus"
    dataset = CorpusDataset.open(config.corpus_dir)
    changed = changed_settings(dataset.manifest.settings, corpus_settings(config))
    if changed:
        return None, f"the corpus was made with other settings ({'; '.join(changed[:4])})"
    return KnownCalls(dataset), ""


def _still_so(call: CallRecord, outcome: CallOutcome) -> bool:
    """Whether the archive tells of the call what it told when the corpus was built.

    A call that was set aside is tried again: its file may be there by now, and costs little.
    """
    if outcome.status is CallStatus.QUARANTINED or outcome.audio_uri != call.audio_uri:
        return False
    swapped = CHANNEL_SWAPPED in outcome.flags
    channel = 1 - call.customer_channel if swapped else call.customer_channel
    if outcome.channel != channel and "mono" not in outcome.flags:
        return False
    transcript = call.transcripts.get(channel)
    if transcript is None:
        return outcome.transcript_source != ARCHIVE_SOURCE
    return outcome.transcript_source == ARCHIVE_SOURCE and outcome.words == transcript.words
