"""A bar per stage of a build, for terminals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from persona_ray.synth.speech import Progress

_TITLES = {"speech": "speaking lines", "calls": "mixing calls"}


@contextmanager
def bars() -> Iterator[Progress]:
    """A progress to hand to `build_archive` that draws rich bars."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with RichProgress(*columns) as drawing:
        tasks = {
            stage: drawing.add_task(title, total=None, visible=False)
            for stage, title in _TITLES.items()
        }

        def show(stage: str, done: int, total: int) -> None:
            drawing.update(tasks[stage], completed=done, total=total, visible=True)

        yield show
