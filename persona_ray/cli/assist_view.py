"""An assisted call on a terminal, as its agent sees it: what is said and felt, what to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.panel import Panel
from rich.text import Text

from persona_ray.apps.assist_demo import stages
from persona_ray.conversation import Speaker
from persona_ray.inference.assist.reasons import in_words
from persona_ray.serving.assist.protocol import (
    CallEnded,
    NotPushed,
    Pushed,
    TurnHeard,
    Unheard,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from persona_ray.apps.assist_demo_calls import Arrived
    from persona_ray.synth.assist.calls import StereoCall

_STYLES = {
    "neutral": "dim",
    "pleased": "green",
    "interested": "blue",
    "surprised": "magenta",
    "doubtful": "yellow",
    "worried": "cyan",
    "disappointed": "yellow dim",
    "annoyed": "dark_orange3",
    "angry": "red bold",
}
_WHO = 9


class AssistView:
    """Draws what is told as it comes, until the block is left. Without a terminal, lines alone."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._screen: Live | None = None

    def __enter__(self) -> AssistView:
        return self

    def __exit__(self, *_: object) -> None:
        if self._screen is not None:
            self._screen.stop()

    def began(self, call: StereoCall) -> None:
        """A call begins."""
        if self._screen is None and self._console.is_terminal:
            from rich.live import Live

            # Bars of progress were drawn before.
            self._screen = Live(console=self._console)
            self._screen.start()
        self._say(Text(""))
        self._say(Text(f"{call.id}: the customer {call.about}", style="bold"))

    def told(self, arrived: Arrived, turn: TurnHeard | None) -> None:
        """A notice came to the device."""
        event = arrived.event
        match event:
            case TurnHeard():
                self._say(_turn(event))
            case Pushed():
                self._push(event, arrived)
            case NotPushed():
                self._say(_aside(f"nothing is suggested: {event.reason.replace('_', ' ')}"))
            case Unheard() if event.reason != "silence":
                self._say(_aside(f"{event.speaker.value}: {event.reason.replace('_', ' ')}"))
            case CallEnded():
                self._say(_aside(f"over after {event.duration_s:.0f} s, {event.pushes} pushes"))
                self._draw(Text(""))
        del turn

    def did(self, push: Pushed, action: str, rating: str) -> None:
        """The agent answered a push."""
        del push
        self._say(_aside(f"the agent: {action}, {rating}"))

    def _push(self, event: Pushed, arrived: Arrived) -> None:
        reason = in_words(event.because, "en")
        parts = ", ".join(f"{name} {took:.2f}" for name, took in stages(arrived).items())
        timing = f"{arrived.after_s:.2f} s after the sentence: {parts}"
        if self._screen is None:
            self._say(_aside(reason))
            for place, script in enumerate(event.scripts, 1):
                style = "bold" if place == 1 else "dim"
                self._say(Text(f"{'':{_WHO}}{place}  {script.text}", style=style))
        else:
            self._say(Text(f"{'':{_WHO}}→ {event.scripts[0].text}", style="bold"))
        self._say(_aside(timing))
        others = [Text(f"{at}  {one.text}") for at, one in enumerate(event.scripts[1:], 2)]
        body = [Text(reason, style="dim"), Text(f"\n1  {event.scripts[0].text}\n", style="bold")]
        panel = Panel(Text("\n").join([*body, *others]), title="what to say", border_style="blue")
        self._draw(panel)

    def _say(self, text: Text) -> None:
        self._console.print(text, soft_wrap=self._screen is None)

    def _draw(self, what: Panel | Text) -> None:
        if self._screen is not None:
            self._screen.update(what)


def _turn(event: TurnHeard) -> Text:
    at = Text(f"{event.start_s:6.1f} s ", style="dim")
    if event.speaker is Speaker.AGENT or event.emotion is None:
        return at + Text(f"{event.speaker.value:{_WHO}}{event.text}", style="dim")
    text = Text(event.text)
    for word in event.keywords:
        text.stylize(f"underline {_STYLES[word.emotion.value]}", word.start, word.end)
    mood = Text(f"  {event.emotion.value} {event.valence:+.1f}", style=_STYLES[event.emotion.value])
    return at + Text(f"{'customer':{_WHO}}") + text + mood


def _aside(text: str) -> Text:
    return Text(f"{'':{_WHO}}{text}", style="dim")
