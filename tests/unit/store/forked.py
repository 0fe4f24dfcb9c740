"""Processes that do the same at once, forked from one that has the product loaded."""

from __future__ import annotations

import subprocess
import sys

_PARENT = """
import os, sys, traceback
from persona_ray.store import Annotation, open_store

url, code, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
started = []
for number in range(count):
    child = os.fork()
    if not child:
        try:
            exec(code)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    started.append(child)
sys.exit(any([os.waitpid(child, 0)[1] for child in started]))
"""


def at_once(code: str, store_url: str, count: int) -> None:
    """Run `code` in `count` processes; it knows `url`, its own `number`, open_store, Annotation."""
    command = [sys.executable, "-c", _PARENT, store_url, code, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
