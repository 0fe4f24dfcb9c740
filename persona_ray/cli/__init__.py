"""The command line: parse, load the configuration, call a room, print."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable

# What the machine refuses, and no code could help.
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_RIGHT = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_FOLDER = frozenset({errno.ENOTDIR, errno.EISDIR, errno.EEXIST})
_NUMBERED = re.compile(r"\(os error ([0-9]+)\)")


def run_entry(entry: Callable[[], object]) -> None:
    """Run an entry point: a user's mistake ends in one line on stderr and its exit code."""
    from persona_ray.errors import PersonaRayError

    try:
        entry()
    except PersonaRayError as error:
        first, *others = error.lines()
        _tell("\n".join([f"error: {first}", *others]))
        sys.exit(error.exit_code)
    except Exception as error:
        refusal = _refusal(error)
        if refusal.errno not in _NO_SPACE | _NO_RIGHT | _NO_FOLDER:
            raise
        _tell(_unwritable(refusal))
        sys.exit(1)
    except KeyboardInterrupt:
        _tell("interrupted: run the same command again to go on")
        sys.exit(130)


def _refusal(error: Exception) -> OSError:
    """What the machine said; without a number where it said nothing."""
    if isinstance(error, OSError):
        return error
    # Writers in Rust (weights, tokenizers) raise errors of their own, with the number in them.
    told = _NUMBERED.search(str(error))
    number = int(told[1]) if told else 0
    return OSError(number, os.strerror(number)) if number else OSError()


def _unwritable(error: OSError) -> str:
    fix = "change its rights" if error.errno in _NO_RIGHT else "move it away"
    fix = "free some" if error.errno in _NO_SPACE else fix
    where = f"{error.filename}: " if error.filename else ""
    return (
        f"error: {where}{error.strerror}: {fix}, or name another folder (--set "
        "workspace=FOLDER); the same command then goes on"
    )


def _tell(text: str) -> None:
    from persona_ray.watch.logs import LOGGER, structured

    if structured():
        LOGGER.error(text)
    else:
        print(text, file=sys.stderr)


def main() -> None:
    """Entry point of `persona-ray`."""
    from persona_ray.cli.app import app

    run_entry(lambda: app(prog_name="persona-ray"))
