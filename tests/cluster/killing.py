"""Jobs over an archive that are killed in the middle, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from persona_ray.config import RunConfig, write_config


def on_ray(config: RunConfig) -> RunConfig:
    launch = config.launch.model_copy(update={"backend": "ray"})
    return config.model_copy(update={"launch": launch})


def kill_after(committed: int, staged: Callable[[], int], job: str, config: RunConfig) -> bool:
    """Run the Python text `job`, which is given the configuration's path, and kill -9 it when so
    many calls are staged. False where it ended before."""
    path = config.workspace / "run.yaml"
    write_config(config, path)
    process = subprocess.Popen(
        [sys.executable, "-c", job, str(path)], stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    deadline = time.monotonic() + 120
    try:
        while process.poll() is None:
            if staged() >= committed:
                return True
            assert time.monotonic() < deadline, "the job does not get on"
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    return False


def wait_until_still(staged: Callable[[], int]) -> int:
    """Workers of a killed driver may finish a call before they are told."""
    count, since = staged(), time.monotonic()
    while time.monotonic() - since < 3:
        time.sleep(0.1)
        if staged() != count:
            count, since = staged(), time.monotonic()
    return count
