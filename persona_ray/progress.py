"""How long jobs tell what they are doing: a protocol, a bar for people, and silence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console


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
    """A bar on a terminal; without a terminal, one line when a stage ends."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console or Console(stderr=True)

    @contextmanager
    def stage(self, name: str, total: float | None) -> Iterator[Stage]:
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
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        with bar:
            shown = _RichStage(bar.add_task(name, total=total, figures=""), bar)
            yield shown
        if not self._console.is_terminal:
            of = f" of {total:g}" if total is not None else ""
            self._console.print(f"{name}: {shown.done:g}{of} {shown.figures}".rstrip())


class _RichStage:
    def __init__(self, task: object, bar: object) -> None:
        self._task = task
        self._bar = bar
        self.done: float = 0
        self.figures = ""

    def advance(self, n: float = 1, **figures: float) -> None:
        self.done += n
        if figures:
            self.figures = format_figures(figures)
        self._bar.update(self._task, advance=n, figures=self.figures)  # type: ignore[attr-defined]


def format_figures(figures: Mapping[str, float]) -> str:
    """`loss 0.312  audio_s_per_s 41.2`"""
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
