"""From what a session commands to what the line and the user are told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from persona_ray.inference.screening import steps
from persona_ray.inference.screening.reasons import in_english
from persona_ray.serving.screening.protocol import (
    Asked,
    CallEnded,
    Kept,
    LineDone,
    Messaging,
    Screened,
    TurnSaid,
)
from persona_ray.serving.screening.schemas import reasons_body

if TYPE_CHECKING:
    from persona_ray.inference.screening.records import Verdict
    from persona_ray.inference.screening.steps import Command


def kept_event(command: Command, seq: int) -> Kept | None:
    """The event that is kept of a command; None for one that leaves nothing behind."""
    match command:
        case steps.NoteTurn(turn):
            return TurnSaid(
                seq=seq,
                speaker=turn.speaker,
                text=turn.text,
                start_s=round(turn.start_s, 3),
                end_s=round(turn.end_s, 3),
            )
        case steps.Tell(standing, category, reasons):
            said = in_english(reasons)
            return Screened(seq=seq, standing=standing, category=category, reason=said)
        case steps.AskUser(category, name, reasons, longest_s):
            said = in_english(reasons)
            return Asked(seq=seq, category=category, name=name, reason=said, longest_s=longest_s)
        case steps.TakeMessage(longest_s):
            return Messaging(seq=seq, longest_s=longest_s)
        case steps.PickUp():
            return LineDone(seq=seq, action="pick_up")
        case steps.Pass(name, category, reasons):
            said = in_english(reasons)
            return LineDone(seq=seq, action="pass", name=name, category=category, reason=said)
        case steps.Reject(reasons):
            return LineDone(seq=seq, action="reject", reason=in_english(reasons))
        case steps.HangUp(reasons):
            return LineDone(seq=seq, action="hang_up", reason=in_english(reasons))
        case steps.EndCall():
            return LineDone(seq=seq, action="end")
        case steps.Conclude(verdict):
            return ended(verdict, seq)
    return None


def ended(verdict: Verdict, seq: int) -> CallEnded:
    """The last event of a call."""
    return CallEnded(
        seq=seq,
        outcome=verdict.outcome,
        standing=verdict.standing,
        category=verdict.category,
        reason=verdict.reason,
        decided_s=verdict.decided_s,
        duration_s=round(verdict.duration_s, 3),
    )


def kept_events(commands: Iterable[Command], before: int) -> list[Kept]:
    """Of commands in order, numbered after `before`."""
    found: list[Kept] = []
    for command in commands:
        event = kept_event(command, before + len(found) + 1)
        if event is not None:
            found.append(event)
    return found


def notice_of(command: Command) -> tuple[str, dict[str, Any]] | None:
    """What the user is told while a call goes on: kind and body; None: nothing."""
    match command:
        case steps.AskUser(category, name, reasons, longest_s):
            asked = {"category": category, "name": name, "longest_s": longest_s}
            return "ask", asked | reasons_body(reasons)
        case steps.Tell(standing, category, reasons):
            known = {"standing": standing, "category": category}
            return "screen", known | reasons_body(reasons)
    return None
