"""Joining or starting a Ray cluster."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from persona_ray.config.learning import LaunchConfig
from persona_ray.errors import ConfigError

# A local cluster has at least so many logical processors: readers, drivers and recognisers take
# shares of them, and on a machine with one they would wait for each other.
_LEAST_CPUS = 4
# A cluster that takes longer to accept a connection is none.
_ANSWER_S = 15.0


@contextmanager
def connect(config: LaunchConfig) -> Iterator[None]:
    """A cluster is connected inside the block; what was started here is shut down after it.

    Joins, in this order: the cluster this process is connected to, `config.address`, RAY_ADDRESS
    (set inside `ray job submit`). Otherwise a local one starts, without dashboard. ConfigError
    where no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's C++ side writes past the log files to the terminal, in the middle of progress bars.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        yield
        return
    address = config.address or os.environ.get("RAY_ADDRESS", "")
    if address and address != "local":
        try:
            _knock(address)
            with _quiet():
                ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            said = " ".join(str(error).split())
            raise ConfigError(
                f"no Ray cluster answers at '{address}' (launch.address or RAY_ADDRESS): {said}"
            ) from None
    else:
        wanted = config.workers * (config.cpus_per_worker + 1)
        with _quiet():
            ray.init(
                # Named, because other clusters on the machine must not matter.
                address="local",
                num_cpus=int(max(os.cpu_count() or 1, wanted, _LEAST_CPUS)),
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
    try:
        yield
    finally:
        ray.shutdown()


def connected(config: LaunchConfig) -> AbstractContextManager[None]:
    """`connect` where `config.backend` is ray; plain needs no cluster."""
    return connect(config) if config.backend == "ray" else nullcontext()


def _knock(address: str) -> None:
    """OSError at once where nothing listens; Ray itself would try for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S):
            pass


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what native code writes to the terminal; it is shown where the block fails."""
    with tempfile.TemporaryFile() as held:
        terminal = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
