"""Work that takes longer than a request may: one at a time, in a thread, asked after by its id."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Generic, TypeVar

from persona_ray.errors import PersonaRayError, RequestError
from persona_ray.progress import Progress, Stage
from persona_ray.watch import spans
from persona_ray.watch.logs import log_exception

ResultT = TypeVar("ResultT")

# Finished errands that can still be asked after.
_KEPT = 50


class ErrandState(StrEnum):
    """Where an errand stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Errand(Generic[ResultT]):
    """`stage`, `done` and `total` tell how far it is; `error` why it failed. Written by one thread,
    read by others."""

    def __init__(self, kind: str) -> None:
        self.errand_id = secrets.token_hex(8)
        self.kind = kind
        self.state = ErrandState.RUNNING
        self.stage = ""
        self.done = 0.0
        self.total: float | None = None
        self.result: ResultT | None = None
        self.error: Exception | None = None


class Errands(Generic[ResultT]):
    """The errands of one replica."""

    def __init__(self) -> None:
        self._errands: OrderedDict[str, Errand[ResultT]] = OrderedDict()
        self._lock = threading.Lock()

    def start(self, kind: str, work: Callable[[Progress], ResultT]) -> Errand[ResultT]:
        """RequestError (409) while another is running."""
        with self._lock:
            running = next(
                (e for e in self._errands.values() if e.state is ErrandState.RUNNING), None
            )
            if running is not None:
                raise RequestError(
                    "models.busy",
                    f"a {running.kind} is under way",
                    status=409,
                    fix="wait until it is done",
                    retry_after_s=5.0,
                )
            errand: Errand[ResultT] = Errand(kind)
            self._errands[errand.errand_id] = errand
            while len(self._errands) > _KEPT:
                self._errands.popitem(last=False)
        threading.Thread(target=_run, args=(errand, work), name=kind, daemon=True).start()
        return errand

    def find(self, errand_id: str) -> Errand[ResultT]:
        """RequestError (404) for one that this replica does not have."""
        with self._lock:
            found = self._errands.get(errand_id)
        if found is None:
            raise RequestError(
                "models.unknown_errand",
                "there is no such comparison or promotion here",
                status=404,
                field="errand_id",
                fix="ask again, another replica may have it; the history tells what became of it",
            )
        return found


def _run(errand: Errand[ResultT], work: Callable[[Progress], ResultT]) -> None:
    try:
        with spans.work(errand.kind):
            errand.result = work(_Noted(errand))
    except Exception as error:
        if not isinstance(error, PersonaRayError):
            log_exception(f"{errand.kind} failed", error)
        errand.error = error
        errand.state = ErrandState.FAILED
    else:
        errand.state = ErrandState.DONE


class _Noted:
    """Progress that is noted on the errand."""

    def __init__(self, errand: Errand[ResultT]) -> None:
        self._errand = errand

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Stage]:
        self._errand.stage, self._errand.done, self._errand.total = name, 0.0, total
        yield _NotedStage(self._errand)


class _NotedStage:
    def __init__(self, errand: Errand[ResultT]) -> None:
        self._errand = errand

    def advance(self, n: float = 1, **figures: float) -> None:  # noqa: ARG002
        self._errand.done += n
