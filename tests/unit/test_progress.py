"""Progress as people see it on a terminal and in a log."""

from __future__ import annotations

import io

from rich.console import Console

from persona_ray.progress import RichProgress, SilentProgress, format_figures


def shown(terminal: bool, line_every_s: float = 60.0) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with RichProgress(console, line_every_s).stage("calls [all]", 3) as stage:
        stage.advance(2, audio_s_per_s=41.234)
        stage.advance()
    return out.getvalue()


def test_a_log_gets_one_line_at_the_end() -> None:
    assert shown(terminal=False) == "calls [all]: 3 of 3  audio_s_per_s 41.23\n"


def test_a_log_of_a_long_stage_gets_lines_on_the_way() -> None:
    lines = shown(terminal=False, line_every_s=0.0).splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        "calls [all]: 2 of 3",
        "calls [all]: 3 of 3",
        "calls [all]: 3 of 3",
    ]


def test_a_terminal_gets_a_bar_with_figures() -> None:
    text = shown(terminal=True)
    for part in ("calls [all]", "3/3", "audio_s_per_s 41.23", "━"):
        assert part in text


def test_an_unknown_total_is_no_obstacle() -> None:
    out = io.StringIO()
    with RichProgress(Console(file=out)).stage("reading", None) as stage:
        stage.advance(7)
    assert out.getvalue() == "reading: 7\n"
    with SilentProgress().stage("reading", None) as stage:
        stage.advance(1, loss=1.0)


def test_figures_are_short() -> None:
    assert format_figures({"loss": 0.312345, "n": 12345.6}) == "loss 0.3123  n 1.235e+04"
