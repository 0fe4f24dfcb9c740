"""The command line: parse, load the configuration, call a room, print."""

from __future__ import annotations

import sys
from collections.abc import Callable


def run_entry(entry: Callable[[], object]) -> None:
    """Run an entry point: a user's mistake ends in one line on stderr and its exit code."""
    from persona_ray.errors import PersonaRayError

    try:
        entry()
    except PersonaRayError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        sys.exit(130)


def main() -> None:
    """Entry point of `persona-ray`."""
    from persona_ray.cli.app import app

    run_entry(lambda: app(prog_name="persona-ray"))
