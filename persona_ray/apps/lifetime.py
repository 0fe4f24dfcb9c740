"""The life of `persona-ray serve`: it ends when it is asked to, in order, and in any case."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
import time
from collections.abc import Iterator

_ENDING = (signal.SIGINT, signal.SIGTERM)
# How long what was begun may take after that; Serve's replicas are given a minute.
_END_S = 75.0
# How long requests may take that were begun when the end was asked for.
_ANSWER_S = 60.0
_LOOK_EVERY_S = 0.1
_INGRESS = "ingress"


@contextlib.contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Being asked to end is Ctrl-C, however it is asked."""
    former = {number: signal.signal(number, _interrupt) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def ended_in_time() -> Iterator[None]:
    """Serve is shut down at the end; where it cannot be, this process ends all the same."""
    from ray import serve

    try:
        yield
    finally:
        # Where the cluster went before this process, nobody answers any more.
        late = threading.Timer(_END_S, os._exit, (1,))
        late.daemon = True
        late.start()
        with hushed():
            serve.shutdown()
        late.cancel()


def answer_what_was_begun(app_name: str) -> None:
    """What the ingress of an application on Ray Serve has begun: waited for, a minute at most.

    Serve's own shutdown ends the proxy first, and with it every connection.
    """
    from ray import serve
    from ray.exceptions import RayError

    until = time.monotonic() + _ANSWER_S
    try:
        ingress = serve.get_app_handle(app_name)
        while time.monotonic() < until:
            deployment = serve.status().applications[app_name].deployments[_INGRESS]
            running = deployment.replica_states.get("RUNNING", 0)
            # Which replica answers is chance: asked often enough, all have.
            asked = [ingress.end.remote() for _ in range(running if running < 2 else 4 * running)]
            left = dict(answer.result(timeout_s=_ANSWER_S) for answer in asked)
            if len(left) >= running and not any(left.values()):
                return
            time.sleep(_LOOK_EVERY_S)
    except (RayError, RuntimeError, KeyError, TimeoutError):
        # It did not come up, or is gone.
        return


@contextlib.contextmanager
def hushed() -> Iterator[None]:
    """Ray tells of each of its actors that ends, on either stream."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
