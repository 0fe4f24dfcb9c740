"""`screening talk`: a call typed by hand."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from persona_ray.cli.app import app
from persona_ray.errors import ConfigError

QUICK = ["screening", "talk", "--set", "screening.dialogue.sentences=ngrams"]


def answers(output: str) -> list[str]:
    return [line.split(maxsplit=1)[1] for line in output.splitlines() if line.startswith("robot")]


def test_a_call_ends_after_its_turns() -> None:
    typed = "您好\n您需要贷款吗\n无抵押的\n"
    options = ["--why", "--set", "screening.dialogue.max_turns=3"]
    done = CliRunner().invoke(app, [*QUICK, *options], input=typed)
    assert done.exit_code == 0, done.output
    said = answers(done.stdout)
    assert len(said) == 4  # opening, two answers, goodbye
    assert "[greeting, " in said[1]
    assert "[loan_offer, " in said[2]
    assert "再见" in said[3]


def test_silence_is_asked_about_and_then_ends_it() -> None:
    done = CliRunner().invoke(app, QUICK, input="\n\n\n")
    assert len(answers(done.stdout)) == 4  # opening, asked twice, goodbye


def test_a_mistake_of_the_set_is_told_with_its_line(tmp_path: Path) -> None:
    broken = tmp_path / "mine.yaml"
    broken.write_text("version: 1\n", encoding="utf-8")
    done = CliRunner().invoke(app, [*QUICK, "--dialogue", str(broken)])
    assert isinstance(done.exception, ConfigError)
    assert "mine.yaml:1: version = 1" in str(done.exception)
