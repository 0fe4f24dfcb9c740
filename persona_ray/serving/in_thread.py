"""A web application that this process serves, beside what else it does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from persona_ray.errors import ServiceError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI

_STARTS_S, _ENDS_S, _LOOK_EVERY_S = 60.0, 20.0, 0.02


@contextlib.contextmanager
def served_in_thread(
    app: FastAPI, log_level: str = "error", tls: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The address of `app` on a free port of this machine, for as long as the block runs. `tls`:
    as `serving.tls.http_options` gives it.

    Raises ServiceError where it does not start within a minute.
    """
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(app, log_level=log_level, **dict[str, Any](tls or {}))
        )
        thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listening]}, name="served", daemon=True
        )
        thread.start()
        try:
            _wait(server, thread)
            yield f"http{'s' if tls else ''}://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(_ENDS_S)


def _wait(server: uvicorn.Server, thread: threading.Thread) -> None:
    until = time.monotonic() + _STARTS_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > until:
            raise ServiceError("the service did not start in this process")
        time.sleep(_LOOK_EVERY_S)
