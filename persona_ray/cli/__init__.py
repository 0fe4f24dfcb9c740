"""The command line: parse, load the configuration, call a room, print."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of `persona-ray`. A user's mistake ends in one line and its exit code."""
    from persona_ray.cli.app import app
    from persona_ray.errors import PersonaRayError

    try:
        app(prog_name="persona-ray")
    except PersonaRayError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: run the same command again to go on", file=sys.stderr)
        sys.exit(130)
