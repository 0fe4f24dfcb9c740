"""Finished work of a workspace copied to `storage.artefacts`, and back into an empty one.

A part is what a step leaves: the corpus, the encoders, the bundle ... Its files are kept by their
content and named in a document that is written last: who reads finds the old part or the new one.
Files that are there already are not sent again. What a push no longer names is removed, so that
what was deleted from the workspace goes there, too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self, TypeVar

from persona_ray import __version__
from persona_ray.config import RunConfig
from persona_ray.errors import ArtefactError, StorageError
from persona_ray.files import put_file, put_folder, scratch_folder
from persona_ray.launch.storage.object_store import ObjectStore, StoredFile
from persona_ray.progress import Progress, Stage
from persona_ray.remote import WAITS_S, patiently

# What each step leaves in the workspace. By its first entry a part is known to be there: it comes
# last. The store and MLflow's database are not among them: on a cluster they are servers.
PARTS: Mapping[str, tuple[str, ...]] = {
    "corpus": ("corpus",),
    "encoders": (
        "encoders",
        "pretraining/speech.json",
        "pretraining/text.json",
        "pretraining/units.json",
    ),
    "bundle": ("bundle", "bundle-last", "bundle-best", "history.json"),
    "sweep": ("sweep",),
    "report": ("report.html", "report.json"),
    "recognitions": ("recognitions",),
    "category": ("category",),
    "emotion": ("emotion",),
    "ranker": ("ranker",),
    "run": ("run.yaml", "stages.json"),
}
# Below the place, so that what else lies there (backups) is not taken for files of nobody.
_FOLDER = "artefacts"
# Work under way, and what a later run makes anew.
_UNFINISHED = frozenset({"staging", "units"})
_AT_ONCE = 4
ResultT = TypeVar("ResultT")
ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class Part:
    """One part as it was pushed: `files` by their path in the workspace."""

    name: str
    files: Mapping[str, StoredFile]
    pushed_at: datetime
    version: str = __version__

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())

    def to_json(self) -> bytes:
        files = {path: asdict(file) for path, file in sorted(self.files.items())}
        tree = {"part": self.name, "version": self.version, "files": files}
        tree["pushed_at"] = self.pushed_at.isoformat()
        return json.dumps(tree, indent=1).encode()

    @classmethod
    def from_json(cls, content: bytes, where: str) -> Self:
        """Raises ArtefactError for what is no part, or names a place outside the workspace. A part
        that only a newer release knows is one."""
        try:
            tree = json.loads(content)
            files = {path: StoredFile(**file) for path, file in tree["files"].items()}
            when = datetime.fromisoformat(tree["pushed_at"])
            part = cls(tree["part"], files, when, tree["version"])
            outside = [path for path in files if not _inside(part.name, path)]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtefactError(f"{where} is damaged ({error!r}): push the part again") from None
        if outside:
            raise ArtefactError(f"{where} names '{outside[0][:200]}', which is no file of the part")
        return part


class Artefacts:
    """The copies of one workspace's finished work."""

    def __init__(self, config: RunConfig, progress: Progress) -> None:
        """Raises ArtefactError where `storage.artefacts` is empty or nobody here can open it."""
        place = config.storage.artefacts
        if not place:
            raise ArtefactError(
                "storage.artefacts is empty: name a folder or a URI such as "
                "--set storage.artefacts=s3://bucket/persona-ray"
            )
        self._workspace = config.workspace.absolute()
        self._progress = progress
        self._place = f"{place.rstrip('/')}/{_FOLDER}"
        self._store = _named(partial(ObjectStore.open, self._place))

    def pushed(self) -> list[Part]:
        """The parts that are there, by name."""
        return [self._read(name) for name in _named(self._store.documents)]

    def push(self, names: Sequence[str] = ()) -> list[Part]:
        """Copy these parts (none: all) of those that the workspace holds, then remove what they
        no longer name.

        A push that broke off goes on where it was. Raises ArtefactError; what was there before
        stays whole.
        """
        return [self._push(name) for name in _known(names) if self.holds(name)]

    def pull(self, names: Sequence[str] = ()) -> list[Part]:
        """Bring those parts that the workspace lacks (none named: all that are there) into it, each
        file compared with its SHA-256. Nothing of the workspace is replaced.

        Raises ArtefactError where a file is missing or damaged; a part is there whole or not.
        """
        wanted = _known(names)
        there = [name for name in _named(self._store.documents) if name in wanted]
        return [self._pull(name) for name in there if not self.holds(name)]

    def remove(self, names: Sequence[str]) -> None:
        """Take parts out of the storage, with all files that no other part names."""
        for name in _named(self._store.documents):
            if name in names:
                _named(partial(self._store.remove, name))
        self.clean()

    def clean(self) -> int:
        """Remove files that no part names, such as those of a push that broke off; how many were.
        No other push may be under way."""
        return _named(partial(self._store.prune, self._in_use()))

    def holds(self, name: str) -> bool:
        """Whether the workspace has the part, finished or begun."""
        main = self._workspace / PARTS[name][0]
        return main.is_file() or (main.is_dir() and any(main.iterdir()))

    def _push(self, name: str) -> Part:
        paths = _local_files(self._workspace, name)
        with self._progress.stage(f"copying {name}", total=len(paths)) as stage:
            kept = _side_by_side(self._put, paths, stage)
        named = (path.relative_to(self._workspace).as_posix() for path in paths)
        part = Part(name, dict(zip(named, kept, strict=True)), datetime.now(UTC))
        before = self._before(name)
        if before != part.files:
            _named(partial(self._store.write, name, part.to_json()))
            gone = {file.sha256 for file in before.values()} - self._in_use()
            _named(partial(self._store.discard, gone))
        return part

    def _before(self, name: str) -> Mapping[str, StoredFile]:
        return self._read(name).files if name in _named(self._store.documents) else {}

    def _in_use(self) -> set[str]:
        return {file.sha256 for part in self.pushed() for file in part.files.values()}

    def _put(self, path: Path) -> StoredFile:
        try:
            return _named(partial(self._store.put, path))
        except OSError as error:
            raise ArtefactError(
                f"{path} cannot be copied ({error.strerror}): let what changes the workspace end, "
                "then push again"
            ) from None

    def _pull(self, name: str) -> Part:
        part = self._read(name)
        try:
            self._fetch(part)
        except OSError as error:
            raise ArtefactError(
                f"'{name}' cannot be put into {self._workspace} ({error.strerror}): make room, or "
                "name another workspace"
            ) from None
        return part

    def _fetch(self, part: Part) -> None:
        name = part.name
        self._workspace.mkdir(parents=True, exist_ok=True)
        with (
            scratch_folder(self._workspace / f"pulled-{name}") as folder,
            self._progress.stage(f"fetching {name}", total=len(part.files)) as stage,
        ):

            def get(path: str) -> None:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                _named(partial(self._store.get, part.files[path], target))

            _side_by_side(get, list(part.files), stage)
            for entry in reversed(PARTS[name]):
                if (folder / entry).exists():
                    _settle(folder / entry, self._workspace / entry)

    def _read(self, name: str) -> Part:
        content = _named(partial(self._store.read, name))
        return Part.from_json(content, f"{self._place}: '{name}'")


def _settle(entry: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.is_dir():
        put_folder(entry, target)
    else:
        put_file(entry, target)


def _side_by_side(
    work: Callable[[ItemT], ResultT], items: Sequence[ItemT], stage: Stage
) -> list[ResultT]:
    """Results in the order of `items`, a few at a time; what is not begun when one fails is not."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            return list(_told(pool.map(work, items), stage))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _told(results: Iterator[ResultT], stage: Stage) -> Iterator[ResultT]:
    for result in results:
        stage.advance(1)
        yield result


def _named(work: Callable[[], ResultT]) -> ResultT:
    """What `work` gives; a storage that is away is waited for. Raises ArtefactError."""
    try:
        return patiently(work, WAITS_S)
    except StorageError as error:
        raise ArtefactError(f"storage.artefacts {error}") from None


def _known(names: Sequence[str]) -> Sequence[str]:
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise ArtefactError(f"no part is called '{unknown[0]}': there are {', '.join(PARTS)}")
    return names or list(PARTS)


def _local_files(workspace: Path, name: str) -> list[Path]:
    """Those of a part, sorted; without hidden ones, drafts and work under way."""
    found: list[Path] = []
    for entry in PARTS[name]:
        top = workspace / entry
        below = [top] if top.is_file() else top.rglob("*")
        files = (path for path in below if path.is_file())
        found += [path for path in files if _inside(name, path.relative_to(workspace).as_posix())]
    return sorted(found)


def _inside(name: str, path: str) -> bool:
    """Whether `path`, relative to a workspace, is one of the part's."""
    steps = PurePosixPath(path).parts
    plain = not any(step.startswith(".") for step in steps) and not _UNFINISHED & set(steps)
    own = any(path == entry or path.startswith(f"{entry}/") for entry in PARTS.get(name, ()))
    return plain and (own or name not in PARTS)
