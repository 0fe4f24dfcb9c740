"""Ending in order when the process is asked to end."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_on_signal(first: str = "a checkpoint is written") -> Iterator[threading.Event]:
    """Set by the first SIGTERM (`ray job stop`) or SIGINT inside the block, which ends as soon as
    what `first` says is done; then, or at a second signal, KeyboardInterrupt is raised.

    Outside the main thread, which alone hears signals, it stays unset.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def hear(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        name = signal.Signals(number).name
        print(
            f"{name}: {first}, then the run ends; the same command goes on",
            file=sys.stderr,
            flush=True,
        )

    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, hear) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stop.is_set():
        raise KeyboardInterrupt
