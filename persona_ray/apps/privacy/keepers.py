"""Every place of a workspace that keeps something of a person, and how it lets go of it.

What is derived goes before what it is found by, files before rows that point at them. Each keeper
may be run again, and deletes nothing then.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from persona_ray.apps.demo_folder import MARK
from persona_ray.files import settle

if TYPE_CHECKING:
    from persona_ray.apps.privacy.plan import Plan
    from persona_ray.config import RunConfig
    from persona_ray.corpus.forgetting import Gone
    from persona_ray.store import Store

DRAFTS = "drafts of killed processes"
# Documents that a command makes anew.
_REPORTS = ("report.html", "report.json", "*/report.html", "*/report.json")
# Of a text shorter than this nobody can say whose it is.
_TELLING = 6
_ABANDONED_S, _AT_WORK_S = 86_400.0, 3600.0


@dataclass(frozen=True, slots=True)
class Keeper:
    """A place. `name` stands in receipts; `forget` deletes what it keeps of the person, and says
    how many things. It may be run again."""

    name: str
    forget: Callable[[Plan], int]


def keepers(config: RunConfig, store: Store) -> list[Keeper]:
    """All of them, in their order."""
    return [
        *derived(config),
        Keeper(
            "the demo's page and its sounds",
            lambda plan: forget_shown(config.workspace, plan.screened),
        ),
        Keeper("recognised calls in files", lambda plan: _recognised(config, plan)),
        Keeper("uploads of jobs", lambda plan: _uploads(store, plan)),
        Keeper("clips and calls of the corpus", lambda plan: _corpus(config, plan)),
        *_screened(config, store),
        *_rows(store),
    ]


def derived(config: RunConfig) -> list[Keeper]:
    """What was made of clips, and is made anew where it is missing."""
    return [
        Keeper(DRAFTS, lambda _: _drafts(config.workspace)),
        Keeper("reports", lambda plan: _reports(config.workspace, plan)),
        Keeper("vectors of clips", lambda plan: _vectors(config, plan)),
        Keeper("files of frames of clips", lambda plan: _frames(config, plan)),
        Keeper("folders of units of clips", lambda plan: _units(config, plan)),
        Keeper("checkpoints of unfinished training", lambda plan: _checkpoints(config, plan)),
    ]


def finder(plan: Plan) -> Callable[[str], bool]:
    """Whether a text names the person, a call or a clip, or quotes what was said."""
    words = {*plan.person.model_dump().values(), *plan.calls, *plan.clips, *plan.uris}
    words |= {call for call in plan.screened if len(call) >= _TELLING}
    quotes = {text for text in plan.texts if len(text) >= _TELLING}
    quotes |= {html.escape(text) for text in quotes}
    exact = "|".join(re.escape(word) for word in sorted(words - {""}, key=len, reverse=True))
    told = re.compile(rf"(?<![\w-])(?:{exact})(?![\w-])")

    def names(text: str) -> bool:
        return bool(told.search(text)) or any(quote in text for quote in quotes)

    return names


def _drafts(workspace: Path) -> int:
    """What a killed process left half-written: nobody knows what is in it. Of other hosts, which
    cannot be asked whether the writer lives, what nothing was written to for a day."""
    deleted = 0
    for path in drafts(workspace):
        settle(path.with_name(path.name[1:].rsplit(".", 2)[0]))
        with suppress(FileNotFoundError):
            if path.is_file() and time.time() - path.stat().st_mtime > _ABANDONED_S:
                path.unlink()
        deleted += not path.exists()
    return deleted


def drafts(workspace: Path) -> list[Path]:
    """Files and folders that are being written, or were when the writer died."""
    return sorted(
        Path(place, name)
        for place, folders, files in os.walk(workspace)
        for name in (*folders, *files)
        if name.startswith(".") and name.endswith((".draft", ".replaced"))
    )


def files_below(
    folder: Path, passed: Collection[str] = ()
) -> Iterator[tuple[Path, os.stat_result]]:
    """Files at any depth, in order, but for the folders `passed` of `folder`. Services go on
    meanwhile: what they delete just now is left out, where rglob would raise."""
    for place, folders, files in os.walk(folder):
        passed = passed if place == str(folder) else ()
        folders[:] = sorted(set(folders).difference(passed))
        for path in (Path(place, name) for name in sorted(files)):
            try:
                about = path.stat()
            except FileNotFoundError:
                continue
            if stat.S_ISREG(about.st_mode):
                yield path, about


def text_of(path: Path) -> str:
    """Whatever it is a file of; empty where it has gone meanwhile."""
    try:
        return path.read_text("utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def _reports(workspace: Path, plan: Plan) -> int:
    names = finder(plan)
    found = [path for path in _files(workspace, _REPORTS) if names(text_of(path))]
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def forget_shown(workspace: Path, calls: Collection[str]) -> int:
    """Delete what `demo screening` wrote of screened calls; how many files. It makes them anew."""
    if not (workspace / MARK).is_file():
        return 0
    sounds = (workspace / "recordings").glob("*.ogg")
    found = [path for path in sounds if path.stem in calls]
    pages = list(_files(workspace, ("report.html", "report.json")))
    ids = [f'"call_id": {json.dumps(call, ensure_ascii=False)}' for call in calls]
    told = any(one in text_of(path) for path in pages for one in ids)
    found += pages if told or found else []
    for path in found:
        path.unlink(missing_ok=True)
    return len(found)


def _files(workspace: Path, patterns: tuple[str, ...]) -> Iterator[Path]:
    for pattern in patterns:
        yield from sorted(path for path in workspace.glob(pattern) if path.is_file())


def _vectors(config: RunConfig, plan: Plan) -> int:
    if not (plan.digests and config.vectors_dir.is_dir()):
        return 0
    from persona_ray.training.finetune.vectors import VectorCache

    return VectorCache(config.vectors_dir).forget(plan.digests)


def _frames(config: RunConfig, plan: Plan) -> int:
    folder = config.vectors_dir / "front"
    if not (plan.digests and folder.is_dir()):
        return 0
    from persona_ray.training.finetune.front_cache import FrontCache

    return FrontCache(folder).forget(plan.digests)


def _units(config: RunConfig, plan: Plan) -> int:
    from persona_ray.corpus.forgetting import forget_units

    return forget_units(config.corpus_dir, frozenset(plan.clips))


def _checkpoints(config: RunConfig, plan: Plan) -> int:
    """On the corpus without the person nothing goes on from them. One that was written to just now
    is somebody's work: it is told in the receipt, and goes when the same is asked again."""
    from persona_ray.corpus.forgotten import Forgotten

    deleted = 0
    began_with = plan.clips or Forgotten.of(config).has("customer", plan.person.customer)
    for folder in training(config) if began_with else ():
        newest = max((about.st_mtime for _, about in files_below(folder)), default=0.0)
        if time.time() - newest > _AT_WORK_S:
            shutil.rmtree(folder)
            deleted += 1
    return deleted


def training(config: RunConfig) -> list[Path]:
    """Folders of training that has not ended."""
    return sorted((config.workspace / "training").glob("*/"))


def _recognised(config: RunConfig, plan: Plan) -> int:
    from persona_ray.launch.archive.forgetting import forget_results

    folders = sorted(config.recognitions_dir.glob("*/"))
    return sum(forget_results(folder, gone(plan)) for folder in folders)


def _uploads(store: Store, plan: Plan) -> int:
    found = [Path(uri) for uri in store.jobs.uploads(plan.names)]
    there = [path for path in found if path.is_file()]
    for path in there:
        path.unlink(missing_ok=True)
    return len(there)


def _corpus(config: RunConfig, plan: Plan) -> int:
    from persona_ray.corpus.forgetting import forget_calls

    deleted = forget_calls(config.corpus_dir, gone(plan))
    return deleted.clips + deleted.calls


def gone(plan: Plan) -> Gone:
    """The customer's rows. Not by the ids of calls: those that live calls were given by whoever
    made them could be another customer's in the archive."""
    from persona_ray.corpus.forgetting import Gone

    return Gone(frozenset({plan.person.customer} - {""}))


def _screened(config: RunConfig, store: Store) -> list[Keeper]:
    from persona_ray.inference.screening.reporting import ReportDesk, Whose
    from persona_ray.serving.screening.recordings import Recordings

    desk, recordings = ReportDesk(store, config.screening), Recordings(config.workspace)

    def forget(plan: Plan, whose: Whose) -> int:
        name = plan.person.named().get(whose.value, "")
        if not name:
            return 0
        done = desk.forget(whose, name, recordings.delete)
        return done.calls + done.recordings + done.rows

    return [
        Keeper(
            f"screened calls, recordings, voiceprints, sets and reports by {whose.value}",
            partial(forget, whose=whose),
        )
        for whose in Whose
    ]


def _rows(store: Store) -> list[Keeper]:
    def forget(plan: Plan) -> int:
        if not plan.person.customer:
            return 0
        done = store.forget_customer(plan.person.customer, plan.calls, plan.names)
        for name, count in asdict(done).items():
            place = f"rows of {name.replace('_', ' ')}"
            plan.deleted[place] = plan.deleted.get(place, 0) + count
        return 0

    return [Keeper("rows", forget)]
