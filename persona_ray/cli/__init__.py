"""The command line: parse, load the configuration, call a room, print."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

# What the machine refuses, and no code could help.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_FOLDER = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST})


def run_entry(entry: Callable[[], object]) -> None:
    """Run an entry point: a user's mistake ends in one line on stderr and its exit code."""
    from persona_ray.errors import PersonaRayError

    try:
        entry()
    except PersonaRayError as error:
        first, *others = error.lines()
        print("\n".join([f"error: {first}", *others]), file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _NO_SPACE | _NO_RIGHT | _NO_FOLDER:
            raise
        fix = "change its rights" if error.errno in _NO_RIGHT else "move it away"
        fix = "free some" if error.errno in _NO_SPACE else fix
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror}: {fix}, or name another folder (--set "
            "workspace=FOLDER); the same command then goes on",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        sys.exit(130)


def main() -> None:
    """Entry point of `persona-ray`."""
    from persona_ray.cli.app import app

    run_entry(lambda: app(prog_name="persona-ray"))
