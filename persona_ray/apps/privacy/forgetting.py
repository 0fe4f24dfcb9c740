"""`persona-ray forget`: everything kept of a person goes, and a receipt says so."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray import __version__
from persona_ray.apps.privacy.keepers import (
    DRAFTS,
    drafts,
    files_below,
    finder,
    gone,
    keepers,
    text_of,
    training,
)
from persona_ray.apps.privacy.marks import mark
from persona_ray.apps.privacy.plan import Person, Plan, plan_path
from persona_ray.apps.privacy.receipts import Learned, Receipt, Remains, write_receipt
from persona_ray.apps.privacy.terms import in_words
from persona_ray.errors import StoreError
from persona_ray.files import locked
from persona_ray.launch.tracking.runs import OFF
from persona_ray.store.audit import acting
from persona_ray.store.open import open_audited

if TYPE_CHECKING:
    from persona_ray.config import RunConfig
    from persona_ray.progress import Progress
    from persona_ray.store import Store

_LOCK = "privacy/.lock"
# Text files of a workspace that no keeper knows are looked through up to this size.
_LARGEST = 64 * 2**20
_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".html", ".yaml", ".yml")
_SOUNDS = frozenset({".ogg", ".wav", ".mp3", ".flac", ".m4a", ".opus", ".amr"})
# What is told of elsewhere: the plan itself, receipts, keys, bundles, the registry.
_PASSED = frozenset({"privacy", "keys", "bundles", "mlruns", "training"})


@dataclass(frozen=True, slots=True)
class Forgetting:
    """The receipt, and where it is kept."""

    receipt: Receipt
    path: Path

    @property
    def nothing(self) -> bool:
        """Whether nothing of the person was there: drafts go whosever they are."""
        told = any(one.clips for one in self.receipt.bundles)
        return not told and set(self.receipt.deleted) <= {DRAFTS}


def forget(
    config: RunConfig, person: Person, actor: str, progress: Progress, now: datetime | None = None
) -> Forgetting:
    """Delete all that the installation keeps of a person, mark the bundles that learned of it, and
    sign a receipt.

    Killed at any moment, the same call goes on. Raises ConfigError for nobody, StoreError where
    another forgetting is under way, CorpusError while a build or a recognition of the archive is,
    and what databases, registry and storage raise: then nothing is signed.
    """
    from persona_ray.launch.storage.copies import mirrored

    person = person.as_kept(config)
    person.named()
    lock = config.workspace / _LOCK
    lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open_audited(config) as store:
        try:
            with locked(lock), mirrored(config, progress), acting(actor):
                return _forget(config, store, person, actor, now or datetime.now(UTC), progress)
        except BlockingIOError:
            raise StoreError(
                f"another forgetting is at work in {config.workspace}: wait for its end"
            ) from None


def forget_again(config: RunConfig, actor: str, progress: Progress) -> int:
    """Forget whoever has a receipt and is here all the same, such as after the restore of an old
    backup; how many. Raises as `forget`."""
    from persona_ray.corpus.dataset import CorpusDataset
    from persona_ray.corpus.forgotten import Forgotten
    from persona_ray.corpus.manifest import MANIFEST

    with open_audited(config) as store:
        names = {"customer": store.customers(), **store.forgetting.everybody()}
    if (config.corpus_dir / MANIFEST).is_file():
        corpus = CorpusDataset.open(config.corpus_dir)
        names["customer"] |= {call.customer_id for call in corpus.calls()}
    forgotten = Forgotten.of(config)
    found = [(kind, name) for kind in names for name in names[kind] if forgotten.has(kind, name)]
    for kind, name in sorted(found):
        forget(config, Person(**{kind: name}), actor, progress)
    return len(found)


def _forget(
    config: RunConfig,
    store: Store,
    person: Person,
    actor: str,
    now: datetime,
    progress: Progress,
) -> Forgetting:
    digests = person.digests(store.audit.digest)
    path = plan_path(config, digests)
    plan = Plan.begun(path, person, now)
    _look_up(config, store, plan)
    plan.write(path)
    places = keepers(config, store)
    with progress.stage("forgetting", total=len(places)) as stage:
        for keeper in places:
            count = keeper.forget(plan)
            plan.deleted[keeper.name] = plan.deleted.get(keeper.name, 0) + count
            plan.write(path)
            stage.advance(1)
    customer = digests.get("customer", "")
    learned = mark(config, person.customer, customer, now) if customer else []
    receipt = Receipt(
        receipt=secrets.token_hex(8),
        person=digests,
        asked_at=plan.asked_at,
        done_at=datetime.now(UTC),
        product=__version__,
        actor=actor,
        deleted={place: count for place, count in sorted(plan.deleted.items()) if count},
        bundles=learned,
        remains=[
            *_remains(config, store, person, learned),
            *_left(config, plan),
            *_written(config),
        ],
    )
    kept = write_receipt(config, store.audit.seal, receipt)
    about = " ".join(f"{kind}:{digest}" for kind, digest in digests.items())
    things = sum(receipt.deleted.values())
    store.audit.note(actor, "forget", about, details={"receipt": receipt.receipt, "things": things})
    path.unlink()
    return Forgetting(receipt, kept)


def _look_up(config: RunConfig, store: Store, plan: Plan) -> None:
    """By what the person's calls are known, as far as anything tells it now."""
    from persona_ray.corpus.forgetting import traces

    who = plan.person
    if who.user or who.number or who.voice:
        from persona_ray.inference.screening.reporting import ReportDesk

        desk = ReportDesk(store, config.screening)
        screened = desk.calls_of(user=who.user, number=who.number, voice=who.voice)
        plan.screened |= screened.calls
        plan.texts |= screened.texts
    if not who.customer:
        return
    plan.calls |= store.calls_of(plan.person.customer)
    found = traces(config.corpus_dir, gone(plan))
    plan.calls |= found.calls
    plan.uris |= found.uris
    plan.clips |= found.clips
    plan.digests |= found.digests
    plan.texts |= found.texts


def _remains(
    config: RunConfig, store: Store, person: Person, learned: list[Learned]
) -> Iterator[Remains]:
    if person.customer:
        yield Remains(
            place="the business database and its recordings",
            why="they are not this product's; while this receipt is kept the customer's calls are "
            "not taken out of them again",
        )
    if learned:
        yield Remains(
            place="weights of the bundles above, and the ids in their lineage",
            why="a model cannot unlearn; the ids tell whom it heard: train anew, promote that, and "
            "delete the versions, the runs and the folders named here",
        )
    if person.customer:
        yield from _unnamed(config, store)
        if config.tracking.url not in ("", OFF):
            yield Remains(
                place="bundles in MLflow that are not registered",
                why="their runs are not looked through: where the person was trained with, the ids "
                "stand in their lineage; delete the runs",
            )
    if person.number or person.voice or person.user:
        days = config.screening.distribution.keep_versions_days
        yield Remains(
            place="the word to devices that an entry is gone",
            why=f"devices that were away are told for {days:g} days; it holds the key of the entry",
        )
    yield Remains(
        place="backups made before, and files that were exported",
        why="nobody here can reach them: after a restore, `persona-ray forget --again`",
    )


def _unnamed(config: RunConfig, store: Store) -> Iterator[Remains]:
    """Calls that nobody can find by a customer."""
    terms = (
        ("live", config.serving.live.resume_s / 86_400, "serving.live.resume_s"),
        ("assist", config.assist.records.keep_days, "assist.records.keep_days"),
    )
    for kind, days, key in terms:
        if count := store.count_unnamed(f"{kind}_calls"):
            yield Remains(
                place=f"{count} {kind} calls without a customer's id",
                why="nobody can tell from them whose they are; they go by themselves, or by "
                f"`persona-ray retention apply`, after {in_words(days)} ({key})",
            )


def _left(config: RunConfig, plan: Plan) -> Iterator[Remains]:
    """Files of the workspace that no keeper knows, and that name the person all the same."""
    names = finder(plan)
    for path, about in files_below(config.workspace, _PASSED):
        inside = path.relative_to(config.workspace)
        place = f"a file of the workspace, {inside.parent}/*{path.suffix}"
        if path.suffix in _SOUNDS and (names(path.name) or path.stem in plan.screened):
            yield Remains(place=place, why="its name is of the person's call: delete it")
        if path.suffix not in _SUFFIXES or about.st_size > _LARGEST:
            continue
        text = text_of(path)
        if names(path.name) or names(text):
            yield Remains(
                place=place,
                why="somebody put it there (an export?), and it names the person: delete it",
            )
            beside = (one for one, _ in files_below(path.parent) if one.suffix in _SOUNDS)
            if any(one.relative_to(path.parent).as_posix() in text for one in beside):
                yield Remains(
                    place=f"sounds that {inside.parent}/*{path.suffix} names",
                    why="the file names the person, too: delete those that are the person's",
                )


def _written(config: RunConfig) -> Iterator[Remains]:
    if drafts(config.workspace):
        yield Remains(
            place="drafts of other processes in the workspace",
            why="they are being written, or were on another host until less than a day ago: give "
            "the same command tomorrow",
        )
    if training(config):
        yield Remains(
            place="training under way in the workspace",
            why="it may have begun with the person's clips: give the same command once it has "
            "ended",
        )
