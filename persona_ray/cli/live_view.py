"""A live call on a terminal: sentences as they end, below them what goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from persona_ray.cli.tables import colour
from persona_ray.serving.live.protocol import (
    Ack,
    Ended,
    Failed,
    Partial,
    RunningColour,
    Sentence,
    Started,
)

if TYPE_CHECKING:
    from rich.live import Live

    from persona_ray.serving.live.protocol import AnyEvent
    from persona_ray.serving.schemas import Colour

_BAR = 24


class LiveView:
    """Draws events as they come."""

    def __init__(self, screen: Live) -> None:
        self._screen = screen
        self._partial = Text()
        self._running = Text()

    def show(self, event: AnyEvent) -> None:
        say = self._screen.console.print
        match event:
            case Started():
                model = event.model
                say(Text(f"call {event.call_id}, {model.name} {model.version}", style="dim"))
            case Sentence():
                self._partial = Text()
                say(Text(f"{event.start_s:7.2f} s  ") + _named(event) + f"  {event.text or ''}")
            case Failed():
                say(Text(f"{event.start_s or 0:7.2f} s  {event.error.message}", style="red"))
            case Partial():
                self._partial = Text(f"{event.start_s:7.2f} s  {event.text} ...", style="dim")
            case RunningColour():
                self._running = _bars(event)
            case Ack():
                return
            case Ended():
                say(Text(f"{event.duration_s:7.2f} s  together: ") + _named(event.together))
                self._partial = self._running = Text()
        self._screen.update(Text("\n").join([self._partial, self._running]))


def _named(found: Colour) -> Text:
    if found.primary is None or found.secondary is None or found.confidence is None:
        return Text(f"no colour ({found.reason})", style="dim")
    share = Text(f" {found.confidence:.0%}, then ")
    return colour(found.primary) + share + colour(found.secondary)


def _bars(running: RunningColour) -> Text:
    parts = [Text(f"after {running.clips} sentence(s)")]
    for label, share in (running.probabilities or {}).items():
        bar = "█" * round(share * _BAR)
        parts.append(Text("  ") + colour(f"{label}") + Text(f" {bar} {share:.0%}"))
    return Text("\n").join(parts)
