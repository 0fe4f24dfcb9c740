"""How long jobs tell what they are doing: a protocol, a bar for people, and silence."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


# The logger that takes the lines where it has a level of its own: where logs are structured.
LINES = "persona_ray.progress"


class Stage(Protocol):
    """One stage of a job."""

    def advance(self, n: float = 1, **figures: float) -> None:
        """`n` more steps are done; `figures` (loss, audio_s_per_s, ...) stand beside the bar."""
        ...


class Progress(Protocol):
    """Where a job reports its stages."""

    def stage(self, name: str, total: float | None) -> AbstractContextManager[Stage]:
        """Open a stage of `total` steps; None where the number is not known."""
        ...


class _SilentStage:
    def advance(self, n: float = 1, **figures: float) -> None:
        """Say nothing."""


class SilentProgress:
    """For tests, libraries and machines that read nothing."""

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Stage]:  # noqa: ARG002
        yield _SilentStage()


class RichProgress:
    """A bar on a terminal; elsewhere (logs), a line every `line_every_s` and one at the end."""

    def __init__(self, console: Console | None = None, line_every_s: float = 20.0) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True)
        self._line_every_s = line_every_s

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Stage]:
        if not self._console.is_terminal or logging.getLogger(LINES).level:
            lines = _Lines(self._console, name, total, self._line_every_s)
            yield lines
            lines.say()
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, style="bold"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self._console,
        )
        with bar:
            yield _Bar(bar, bar.add_task(name, total=total, figures=""))


class _Bar:
    def __init__(self, bar: Bars, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def advance(self, n: float = 1, **figures: float) -> None:
        if figures:
            self._bar.update(self._task, advance=n, figures=format_figures(figures))
        else:
            self._bar.update(self._task, advance=n)


class _Lines:
    def __init__(self, console: Console, name: str, total: float | None, every_s: float) -> None:
        self._console = console
        self._name = name
        self._total = total
        self._of = "" if total is None else f" of {total:g}"
        self._every_s = every_s
        self._done: float = 0
        self._figures = ""
        self._said_at = time.monotonic()

    def advance(self, n: float = 1, **figures: float) -> None:
        self._done += n
        if figures:
            self._figures = "  " + format_figures(figures)
        if time.monotonic() - self._said_at >= self._every_s:
            self.say()

    def say(self) -> None:
        self._said_at = time.monotonic()
        logger = logging.getLogger(LINES)
        if logger.level:
            told = {"stage": self._name, "done": self._done, "total": self._total}
            fields = {**told, "figures": self._figures.strip()}
            logger.info("progress", extra={"persona_ray": fields})
            return
        line = f"{self._name}: {self._done:g}{self._of}{self._figures}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def format_figures(figures: Mapping[str, float]) -> str:
    """`loss 0.312  audio_s_per_s 41.2`"""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
