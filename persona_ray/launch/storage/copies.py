"""Steps of a job that go on from `storage.artefacts` and leave what they made there."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from persona_ray.config import RunConfig
from persona_ray.errors import ArtefactError
from persona_ray.launch.storage.artefacts import Artefacts
from persona_ray.progress import Progress

OptionsT = ParamSpec("OptionsT")
ResultT = TypeVar("ResultT")
Step = Callable[Concatenate[RunConfig, Progress, OptionsT], ResultT]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    """The outermost step under way: parts that were copied, and whose copy failed."""

    copied: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)


_job: ContextVar[_Job | None] = ContextVar("job", default=None)
# With every step: what it was run with, and how long.
_RUN = "run"


def copied(
    *makes: str, needs: Sequence[str] | Callable[[RunConfig], Sequence[str]] = ()
) -> Callable[[Step[OptionsT, ResultT]], Step[OptionsT, ResultT]]:
    """A step that `needs` parts of the workspace (its configuration may decide) and `makes` some.

    Where `storage.artefacts` is set: parts that the workspace lacks are fetched before it (with
    `fresh`, only what it needs), those it made are copied after it. A step inside another fetches
    nothing. A copy that fails is told and tried once more at the end of the outermost step; raises
    ArtefactError where it fails again, with everything whole in the workspace.
    """

    def around(step: Step[OptionsT, ResultT]) -> Step[OptionsT, ResultT]:
        signature = inspect.signature(step)

        @wraps(step)
        def run(
            config: RunConfig,
            progress: Progress,
            /,
            *args: OptionsT.args,
            **kwargs: OptionsT.kwargs,
        ) -> ResultT:
            if not config.storage.artefacts:
                return step(config, progress, *args, **kwargs)
            artefacts = Artefacts(config, progress)
            outer = _job.get()
            if outer is not None:
                result = step(config, progress, *args, **kwargs)
                _copy(artefacts, {*makes, _RUN}, outer)
                return result
            fresh = signature.bind(config, progress, *args, **kwargs).arguments.get("fresh")
            with _outermost(config, artefacts) as job:
                needed = needs(config) if callable(needs) else needs
                fetched = [*needed, *(() if fresh else (*makes, _RUN))]
                if fetched:
                    artefacts.pull(fetched)
                result = step(config, progress, *args, **kwargs)
                _copy(artefacts, {*makes, _RUN} - (job.copied - {_RUN}), job)
            return result

        return run

    return around


@contextmanager
def mirrored(config: RunConfig, progress: Progress) -> Iterator[None]:
    """What the block deletes from the workspace goes from `storage.artefacts`, too.

    Parts that the workspace lacks are fetched first: nobody else would look through them. Raises
    ArtefactError; run again, it goes on.
    """
    if not config.storage.artefacts:
        yield
        return
    artefacts = Artefacts(config, progress)
    artefacts.pull()
    yield
    artefacts.push([part.name for part in artefacts.pushed()])
    artefacts.remove([part.name for part in artefacts.pushed() if not artefacts.holds(part.name)])


@contextmanager
def _outermost(config: RunConfig, artefacts: Artefacts) -> Iterator[_Job]:
    job = _Job()
    token = _job.set(job)
    try:
        yield job
    finally:
        _job.reset(token)
    if job.failed:
        try:
            artefacts.push(sorted(job.failed))
        except ArtefactError as error:
            raise ArtefactError(
                f"the work is done and whole in {config.workspace}, but its copy failed ({error}): "
                "mend the storage, then `persona-ray artefacts push`"
            ) from None


def _copy(artefacts: Artefacts, names: Set[str], job: _Job) -> None:
    try:
        artefacts.push(sorted(names))
    except ArtefactError as error:
        _log.warning("%s: it is tried again at the end", error)
        job.failed |= names
    else:
        job.copied |= names
