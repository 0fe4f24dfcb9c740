"""`persona-ray retention apply`: what has been kept for its time goes.

Each kind has one term, where it is told. The services hold to theirs by themselves; here all are
held to once more, for an installation whose services are down, or that has none.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.apps.privacy.keepers import derived
from persona_ray.apps.privacy.plan import Person, Plan
from persona_ray.store.open import open_audited

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.corpus.manifest import Shard
    from persona_ray.progress import Progress
    from persona_ray.serving.screening.recordings import Recordings
    from persona_ray.store import Store


_DAY_S = 86_400.0
Apply = Callable[[datetime, bool], int]


@dataclass(frozen=True, slots=True)
class Kept:
    """One kind: kept for `days` (0: for good) by the configuration's `key`, `over` of which were
    too old."""

    what: str
    key: str
    days: float
    over: int


@dataclass(frozen=True, slots=True)
class _Rule:
    """`apply` deletes what is older than a time and says how much; dry, it only counts."""

    what: str
    key: str
    days: float
    apply: Apply


def apply_retention(
    config: RunConfig,
    actor: str,
    progress: Progress,
    dry_run: bool = False,
    now: datetime | None = None,
) -> list[Kept]:
    """Delete all that is too old, and note it in the audit log where anything was.

    Killed at any moment, it goes on when it is called again. Raises CorpusError while a build or a
    recognition of the archive is at work.
    """
    from persona_ray.launch.storage.copies import mirrored

    now = now or datetime.now(UTC)
    with open_audited(config) as store:
        if dry_run:
            return [_kept(rule, now, True) for rule in _rules(config, store, actor, now)]
        with mirrored(config, progress):
            found = [_kept(rule, now, False) for rule in _rules(config, store, actor, now)]
        things = Counter[str]()
        for one in found:
            things[one.key] += one.over
        if things := +things:
            store.audit.note(actor, "retention", details=things)
        return found


def _kept(rule: _Rule, now: datetime, dry_run: bool) -> Kept:
    over = rule.apply(now - timedelta(days=rule.days), dry_run) if rule.days else 0
    return Kept(rule.what, rule.key, rule.days, over)


def _rules(config: RunConfig, store: Store, actor: str, now: datetime) -> list[_Rule]:
    """The log is last: one that was tampered with is not pruned, and keeps nothing else here."""
    from persona_ray.serving.screening.recordings import Recordings

    def rows(
        table: str, column: str, expire: Callable[[datetime], object], end: datetime | None = None
    ) -> Apply:
        """Rows whose time is before a term, or which tell their own end."""

        def apply(before: datetime, dry: bool) -> int:
            count = store.count_older(table, column, end or before)
            if not dry:
                expire(end or before)
            return count

        return apply

    def screened(before: datetime) -> None:
        deleted = store.screened_calls.expire(before)
        recordings = Recordings(config.workspace)
        recordings.delete([*deleted.recordings, *_of_no_call(recordings, store)])

    def clips(before: datetime, dry: bool) -> int:
        return _clips(config, before, now, dry)

    def results(before: datetime, dry: bool) -> int:
        return _results(config, before, dry)

    def changes(before: datetime, dry: bool) -> int:
        # Of those that are older, what devices are still to be told stays.
        return 0 if dry else store.changes.prune(before)

    def entries(before: datetime, dry: bool) -> int:
        return store.audit.prune(before, actor, dry)

    own, screening = "privacy.retention", "screening"
    rules: list[tuple[str, str, Apply]] = [
        ("clips and what was made of them", f"{own}.clips_days", clips),
        ("recognised calls in files", f"{own}.recognitions_days", results),
        (
            "recognised calls and customers in the store",
            f"{own}.recognitions_days",
            store.recognitions.expire,
        ),
        ("annotations", f"{own}.annotations_days", store.annotations.expire),
        (
            "screened calls with recordings",
            f"{screening}.records.keep_days",
            rows("screened_calls", "ended_at", screened),
        ),
        (
            "assisted calls with pushes and feedback",
            "assist.records.keep_days",
            rows("assist_calls", "ended_at", store.assist_calls.expire),
        ),
        # Uploads go once their call is done; those of no job go by the service's own sweep.
        (
            "jobs with their answers",
            "serving.limits.job_days",
            rows("jobs", "ended_at", store.jobs.expire),
        ),
        # One that goes on settles its sentences: nothing was settled in these for so long.
        (
            "live calls",
            "serving.live.resume_s",
            rows("live_calls", "changed_at", store.live_calls.expire),
        ),
        (
            "voices that calls brought",
            f"{screening}.voice.expires_days",
            rows("screening_voices", "expires_at", store.voices.expire, now),
        ),
        (
            "numbers that reports made",
            f"{screening}.reports.expires_days",
            rows("screening_numbers", "expires_at", store.numbers.expire, now),
        ),
        (
            "reports",
            f"{screening}.reports.keep_days",
            rows("screening_reports", "at", store.reports.expire),
        ),
        (
            "what devices are still to be told of (counted as it goes)",
            f"{screening}.distribution.keep_versions_days",
            changes,
        ),
        ("entries of the audit log", f"{own}.audit_days", entries),
    ]
    return [_Rule(what, key, _days(config, key), apply) for what, key, apply in rules]


def _days(config: RunConfig, key: str) -> float:
    """The term at a key of the configuration."""
    term = float(attrgetter(key)(config))
    return term / _DAY_S if key.endswith("_s") else term


def _of_no_call(recordings: Recordings, store: Store) -> Iterator[str]:
    """Recordings whose rows went, and whose files stayed because somebody was killed just then."""
    from persona_ray.store.screening.call_records import UnknownCallError

    yesterday = time.time() - _DAY_S
    for folder in sorted(recordings.every()):
        try:
            store.screened_calls.by_ref(folder.name)
        except UnknownCallError:
            # Whoever deleted the call may be at the files just now.
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < yesterday:
                    yield recordings.place(folder.name)


def _clips(config: RunConfig, before: datetime, now: datetime, dry: bool) -> int:
    """By the time of the shard: of the build that cut them."""
    from persona_ray.corpus.forgetting import Gone, expire_calls, traces, unexpired
    from persona_ray.corpus.manifest import MANIFEST, read_manifest

    folder = config.corpus_dir
    if not (folder / MANIFEST).is_file():
        return 0
    manifest = read_manifest(folder)
    calls = unexpired(folder, _old(folder, manifest.call_shards, before))
    if dry or not calls:
        return len(calls)
    found = traces(folder, Gone(calls=calls))
    plan = Plan(
        person=Person(),
        asked_at=now,
        calls=set(found.calls),
        uris=set(found.uris),
        clips=set(found.clips),
        digests=set(found.digests),
        texts=set(found.texts),
    )
    for keeper in derived(config):
        keeper.forget(plan)
    expire_calls(folder, calls)
    return len(calls)


def _results(config: RunConfig, before: datetime, dry: bool) -> int:
    from persona_ray.corpus.forgetting import Gone, unexpired
    from persona_ray.launch.archive.folder import RESULTS, read_results
    from persona_ray.launch.archive.forgetting import forget_results

    calls = 0
    for folder in sorted(config.recognitions_dir.glob("*/")):
        if not (folder / RESULTS).is_file():
            continue
        old = unexpired(folder, _old(folder, read_results(folder).call_shards, before))
        calls += len(old)
        if old and not dry:
            forget_results(folder, Gone(calls=old), expired=True)
    return calls


def _old(folder: Path, shards: tuple[Shard, ...], before: datetime) -> list[Shard]:
    times = ((shard, (folder / shard.name).stat().st_mtime) for shard in shards)
    return [shard for shard, at in times if at < before.timestamp()]
