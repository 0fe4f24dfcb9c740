"""`persona-ray retention apply`: what has been kept for its time goes.

Each kind has one term, where it is told. The services hold to theirs by themselves; here all are
held to once more, for an installation whose services are down, or that has none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
    apply: Callable[[datetime, bool], int]


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
        things = {one.key: one.over for one in found if one.over}
        if things:
            store.audit.note(actor, "retention", details=things)
        return found


def _kept(rule: _Rule, now: datetime, dry_run: bool) -> Kept:
    over = rule.apply(now - timedelta(days=rule.days), dry_run) if rule.days else 0
    return Kept(rule.what, rule.key, rule.days, over)


def _rules(config: RunConfig, store: Store, actor: str, now: datetime) -> list[_Rule]:
    own = config.privacy.retention
    key = "privacy.retention"
    return [
        _Rule(
            "clips and what was made of them",
            f"{key}.clips_days",
            own.clips_days,
            lambda before, dry: _clips(config, before, now, dry),
        ),
        _Rule(
            "recognised calls in files",
            f"{key}.recognitions_days",
            own.recognitions_days,
            lambda before, dry: _results(config, before, dry),
        ),
        _Rule(
            "recognised calls and customers in the store",
            f"{key}.recognitions_days",
            own.recognitions_days,
            store.recognitions.expire,
        ),
        _Rule(
            "annotations",
            f"{key}.annotations_days",
            own.annotations_days,
            store.annotations.expire,
        ),
        _Rule(
            "entries of the audit log",
            f"{key}.audit_days",
            own.audit_days,
            lambda before, dry: store.audit.prune(before, actor, dry),
        ),
        *_of_services(config, store),
        *_of_sets(config, store, now),
    ]


def _of_services(config: RunConfig, store: Store) -> list[_Rule]:
    from persona_ray.serving.screening.recordings import Recordings

    def screened(before: datetime, dry: bool) -> int:
        if dry:
            return store.count_older("screened_calls", "ended_at", before)
        deleted = store.screened_calls.expire(before)
        recordings = Recordings(config.workspace)
        recordings.delete([*deleted.recordings, *_of_no_call(recordings, store)])
        return deleted.calls

    def assisted(before: datetime, dry: bool) -> int:
        if dry:
            return store.count_older("assist_calls", "ended_at", before)
        return store.assist_calls.expire(before)

    def jobs(before: datetime, dry: bool) -> int:
        # Uploads go once their call is done; those of no job go by the service's own sweep.
        if dry:
            return store.count_older("jobs", "ended_at", before)
        return len(store.jobs.expire(before))

    def live(before: datetime, dry: bool) -> int:
        # One that goes on settles its sentences: nothing was settled in these for so long.
        if dry:
            return store.count_older("live_calls", "changed_at", before)
        return store.live_calls.expire(before)

    terms = (
        ("screened calls with recordings", "screening.records.keep_days", screened),
        ("assisted calls with pushes and feedback", "assist.records.keep_days", assisted),
        ("jobs with their answers", "serving.limits.job_days", jobs),
        ("live calls", "serving.live.resume_s", live),
    )
    days = (
        config.screening.records.keep_days,
        config.assist.records.keep_days,
        config.serving.limits.job_days,
        config.serving.live.resume_s / _DAY_S,
    )
    return [_Rule(what, key, term, act) for (what, key, act), term in zip(terms, days, strict=True)]


def _of_sets(config: RunConfig, store: Store, now: datetime) -> list[_Rule]:
    """Entries of sets have their own end, which the configuration gave them."""
    screening = config.screening

    def voices(_: datetime, dry: bool) -> int:
        if dry:
            return store.count_older("screening_voices", "expires_at", now)
        return store.voices.expire(now)

    def numbers(_: datetime, dry: bool) -> int:
        if dry:
            return store.count_older("screening_numbers", "expires_at", now)
        return store.numbers.expire(now)

    def reports(before: datetime, dry: bool) -> int:
        if dry:
            return store.count_older("screening_reports", "at", before)
        return store.reports.expire(before)

    def changes(before: datetime, dry: bool) -> int:
        # Of those that are older, what devices are still to be told stays.
        return 0 if dry else store.changes.prune(before)

    key = "screening"
    sent = screening.distribution.keep_versions_days
    return [
        _Rule(
            "voices that calls brought",
            f"{key}.voice.expires_days",
            screening.voice.expires_days,
            voices,
        ),
        _Rule(
            "numbers that reports made",
            f"{key}.reports.expires_days",
            screening.reports.expires_days,
            numbers,
        ),
        _Rule("reports", f"{key}.reports.keep_days", screening.reports.keep_days, reports),
        _Rule(
            "what devices are still to be told of (counted as it goes)",
            f"{key}.distribution.keep_versions_days",
            sent,
            changes,
        ),
    ]


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
