"""`persona-ray screening talk`: be the caller, and read what the robot answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from persona_ray.cli.options import ConfigPath, Overrides, read

if TYPE_CHECKING:
    from persona_ray.inference.screening.robot import DialogueRobot

_GOODBYES = frozenset({"exit", "quit"})


def talk(
    dialogue: Annotated[
        Path | None,
        typer.Option(
            "--dialogue", "-d", help="A dialogue set (YAML) instead of screening.dialogue.set."
        ),
    ] = None,
    why: Annotated[
        bool, typer.Option("--why", help="Beside each answer: its exchange and nearness.")
    ] = False,
    config: ConfigPath = None,
    overrides: Overrides = None,
) -> None:
    """Type what a caller says, a turn a line; an empty line is silence, Ctrl-D hangs up.

    For editors of a dialogue set: it is read and checked first, and a mistake is told with its
    line. `--set screening.dialogue.threshold=0.4` tries a setting.
    """
    from persona_ray.inference.screening.robot import build_robot

    settings = read(config, overrides).screening
    chosen = settings.dialogue
    if dialogue is not None:
        chosen = chosen.model_copy(update={"set": str(dialogue)})
    robot = build_robot(chosen, settings.policy.categories)
    typer.echo(
        f"{robot.name}: {len(robot.dialogue.exchanges)} exchanges, "
        f"{sum(1 for _ in robot.dialogue.spoken())} lines",
        err=True,
    )
    _call(robot, chosen.max_turns, chosen.max_silences, why)


def _call(robot: DialogueRobot, max_turns: int, max_silences: int, why: bool) -> None:
    """One call, until the caller leaves, is silent too often, or has had all turns."""
    from persona_ray.inference.screening.records import LineKind, Speaker, Turn

    turns: list[Turn] = []

    def robot_says(text: str, reason: str = "") -> None:
        turns.append(Turn(Speaker.ROBOT, text, 0.0, 0.0))
        typer.echo(f"robot   {text}{reason if why else ''}")

    robot_says(robot.line(LineKind.OPENING, turns))
    heard = silences = 0
    while heard < max_turns:
        text = _asked()
        if text is None:
            typer.echo("the caller hung up", err=True)
            return
        if not text:
            silences += 1
            if silences > max_silences:
                break
            robot_says(robot.line(LineKind.SILENCE, turns))
            continue
        silences, heard = 0, heard + 1
        turns.append(Turn(Speaker.CALLER, text, 0.0, 0.0))
        if heard < max_turns:
            answer = robot.think(turns, None)
            found = answer.exchange or "nothing near enough"
            robot_says(answer.text, f"  [{found}, {answer.nearness:.2f}]")
    robot_says(robot.line(LineKind.GOODBYE, turns))


def _asked() -> str | None:
    """The caller's next line; None where the caller hangs up."""
    typer.echo("caller  ", nl=False)
    line = sys.stdin.readline()
    if not line or not sys.stdin.isatty():
        typer.echo(line.rstrip("\n"))
    if not line or line.strip().lower() in _GOODBYES:
        return None
    return line.strip()
